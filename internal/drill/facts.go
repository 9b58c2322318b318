package drill

import (
	"strings"

	"tcpd/tcp"
)

// constants are names that scripts compare with: Linux' numbers.
var constants = map[string]int64{
	"TCP_ESTABLISHED": 1, "TCP_SYN_SENT": 2, "TCP_SYN_RECV": 3, "TCP_FIN_WAIT1": 4, "TCP_FIN_WAIT2": 5, "TCP_TIME_WAIT": 6,
	"TCP_CLOSE": 7, "TCP_CLOSE_WAIT": 8, "TCP_LAST_ACK": 9, "TCP_LISTEN": 10, "TCP_CLOSING": 11,
	"TCPI_OPT_TIMESTAMPS": 1, "TCPI_OPT_SACK": 2, "TCPI_OPT_WSCALE": 4, "TCPI_OPT_ECN": 8, "TCPI_OPT_SYN_DATA": 32, "TCPI_OPT_ECN_SEEN": 16,
	"TCP_CA_Open": 0, "TCP_CA_Disorder": 1, "TCP_CA_CWR": 2, "TCP_CA_Recovery": 3, "TCP_CA_Loss": 4,
	"TCP_INFINITE_SSTHRESH": infiniteSsthresh, "True": 1, "False": 0,
}

const infiniteSsthresh = 0x7fffffff

var linuxStates = map[tcp.State]int64{
	tcp.Established: 1, tcp.SynSent: 2, tcp.SynReceived: 3, tcp.FinWait1: 4, tcp.FinWait2: 5, tcp.TimeWait: 6, tcp.Closed: 7,
	tcp.CloseWait: 8, tcp.LastAck: 9, tcp.Listen: 10, tcp.Closing: 11,
}

// segments is a number of bytes in segments, as Linux counts.
func segments(bytes int, i *tcp.Info) int64 { return int64((bytes + i.MSS - 1) / max(i.MSS, 1)) }

func micros(d tcp.Duration) int64 { return int64(d / tcp.Microsecond) }

// facts are the fields of tcp_info by their names in Linux, and in its units.
var facts = map[string]func(*tcp.Info) int64{
	"tcpi_state": func(i *tcp.Info) int64 { return linuxStates[i.State] },
	"tcpi_options": func(i *tcp.Info) int64 {
		return truth(i.Timestamps) | truth(i.SACK)<<1 | truth(i.SndScale != 0 || i.RcvScale != 0)<<2 | truth(i.SynData)<<5 |
			truth(i.ECN)<<3 | truth(i.ECNSeen)<<4
	},
	"tcpi_snd_wscale":     func(i *tcp.Info) int64 { return int64(i.SndScale) },
	"tcpi_rcv_wscale":     func(i *tcp.Info) int64 { return int64(i.RcvScale) },
	"tcpi_rto":            func(i *tcp.Info) int64 { return micros(i.RTO) },
	"tcpi_rtt":            func(i *tcp.Info) int64 { return micros(i.RTT) },
	"tcpi_rttvar":         func(i *tcp.Info) int64 { return micros(i.RTTVar) },
	"tcpi_min_rtt":        func(i *tcp.Info) int64 { return micros(i.MinRTT) },
	"tcpi_snd_mss":        func(i *tcp.Info) int64 { return int64(i.MSS) },
	"tcpi_pmtu":           func(i *tcp.Info) int64 { return int64(i.PathMTU) },
	"tcpi_unacked":        func(i *tcp.Info) int64 { return segments(i.Unacked, i) },
	"tcpi_sacked":         func(i *tcp.Info) int64 { return segments(i.Sacked, i) },
	"tcpi_lost":           func(i *tcp.Info) int64 { return segments(i.Lost, i) },
	"tcpi_snd_cwnd":       func(i *tcp.Info) int64 { return int64(i.Cwnd / max(i.MSS, 1)) },
	"tcpi_snd_ssthresh":   ssthresh,
	"tcpi_snd_wnd":        func(i *tcp.Info) int64 { return int64(i.SndWnd) },
	"tcpi_rcv_wnd":        func(i *tcp.Info) int64 { return int64(i.RcvWnd) },
	"tcpi_notsent_bytes":  func(i *tcp.Info) int64 { return int64(i.Unsent) },
	"tcpi_total_retrans":  func(i *tcp.Info) int64 { return int64(i.Retransmits) },
	"tcpi_bytes_sent":     func(i *tcp.Info) int64 { return int64(i.BytesSent + i.BytesRetransmitted) },
	"tcpi_bytes_retrans":  func(i *tcp.Info) int64 { return int64(i.BytesRetransmitted) },
	"tcpi_bytes_acked":    func(i *tcp.Info) int64 { return int64(i.BytesAcked) },
	"tcpi_bytes_received": func(i *tcp.Info) int64 { return int64(i.BytesReceived) },
	"tcpi_delivered_ce":   func(i *tcp.Info) int64 { return int64(i.DeliveredMarked) },
	"tcpi_busy_time":      func(i *tcp.Info) int64 { return micros(i.Busy) },
	"tcpi_rwnd_limited":   func(i *tcp.Info) int64 { return micros(i.WindowLimited) },
	"tcpi_sndbuf_limited": func(i *tcp.Info) int64 { return micros(i.BufferLimited) },
	"tcpi_dsack_dups":     func(i *tcp.Info) int64 { return int64(i.DSACKs) },
	"tcpi_ca_state":       func(i *tcp.Info) int64 { return int64(i.CongestionState) },
	"tcpi_probes":         func(i *tcp.Info) int64 { return int64(i.Probes) },
	"tcpi_backoff":        func(i *tcp.Info) int64 { return int64(i.Backoff) },
	"tcpi_ato":            func(i *tcp.Info) int64 { return micros(i.AckDelay) },
	"tcpi_rcv_mss":        func(i *tcp.Info) int64 { return int64(i.PeerMSS) },
	"tcpi_advmss":         func(i *tcp.Info) int64 { return int64(i.AdvertisedMSS) },
	"tcpi_retrans":        func(i *tcp.Info) int64 { return segments(i.Retransmitted, i) },
	"tcpi_last_data_sent": func(i *tcp.Info) int64 { return micros(i.LastDataSent) / 1000 },
	"tcpi_last_data_recv": func(i *tcp.Info) int64 { return micros(i.LastDataReceived) / 1000 },
	"tcpi_last_ack_recv":  func(i *tcp.Info) int64 { return micros(i.Idle) / 1000 },
	"tcpi_segs_in":        func(i *tcp.Info) int64 { return int64(i.SegmentsIn) },
	"tcpi_segs_out":       func(i *tcp.Info) int64 { return int64(i.SegmentsOut) },
	"tcpi_data_segs_in":   func(i *tcp.Info) int64 { return int64(i.DataSegmentsIn) },
	"tcpi_data_segs_out":  func(i *tcp.Info) int64 { return int64(i.DataSegmentsOut) },
	"tcpi_delivered":      func(i *tcp.Info) int64 { return segments(int(i.Delivered), i) },
	"tcpi_reord_seen":     func(i *tcp.Info) int64 { return int64(i.Reorderings) },
	"tcpi_rcv_ooopack":    func(i *tcp.Info) int64 { return int64(i.OutOfOrderIn) },
	"tcpi_total_rto":      func(i *tcp.Info) int64 { return int64(i.Timeouts) },
	"tcpi_retransmits":    func(i *tcp.Info) int64 { return int64(i.Retries) },
	"tcpi_delivery_rate":  func(i *tcp.Info) int64 { return int64(i.DeliveryRate) },
	"tcpi_pacing_rate":    func(i *tcp.Info) int64 { return int64(i.PacingRate) },
	"urgent_ahead":        func(i *tcp.Info) int64 { return int64(i.Urgent) },
	"soft_error":          func(i *tcp.Info) int64 { return truth(i.SoftError != nil) },
}

func ssthresh(i *tcp.Info) int64 {
	if i.Ssthresh == 0 {
		return infiniteSsthresh
	}
	return int64(i.Ssthresh / max(i.MSS, 1))
}

const dropPrefix = "drop_"

// dropOf returns the reason that drop_NAME counts.
func dropOf(s string) (tcp.Drop, bool) {
	for d := range tcp.NumDrops {
		if rest, ok := strings.CutPrefix(s, dropPrefix); ok && d.String() == rest {
			return d, true
		}
	}
	return 0, false
}

// reportsFact is how often the table had something to report that no call tells (tcp.EventReport).
const reportsFact = "reports"

func isDrop(s string) bool {
	_, ok := dropOf(s)
	return ok
}
