package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
)

// connView is a connection as the control socket tells of it. Names are those of ss(8) where it has one; times are
// milliseconds, sizes bytes, rates bytes per second.
type connView struct {
	ID      string `json:"id,omitempty"` // for tcpd conn; half-open connections and those in TIME-WAIT have none
	State   string `json:"state"`
	RecvQ   int    `json:"recv_q"` // received and not read
	SendQ   int    `json:"send_q"` // written and not acknowledged
	Local   string `json:"local"`
	Peer    string `json:"peer"`
	Service string `json:"service,omitempty"`
	Active  bool   `json:"active,omitempty"` // opened by us

	Congestion string   `json:"congestion,omitempty"`
	Options    []string `json:"options,omitempty"` // ts, sack, ecn, ecnseen, wscale:theirs,ours
	RTO        float64  `json:"rto,omitempty"`
	RTT        float64  `json:"rtt,omitempty"`
	RTTVar     float64  `json:"rttvar,omitempty"`
	MinRTT     float64  `json:"minrtt,omitempty"`
	ATO        float64  `json:"ato,omitempty"`     // how long an acknowledgement waits for data
	Backoff    int      `json:"backoff,omitempty"` // doublings of rto
	MSS        int      `json:"mss,omitempty"`
	RcvMSS     int      `json:"rcvmss,omitempty"`
	AdvMSS     int      `json:"advmss,omitempty"`
	PMTU       int      `json:"pmtu,omitempty"`
	Cwnd       int      `json:"cwnd,omitempty"` // segments, as in ss
	CwndBytes  int      `json:"cwnd_bytes,omitempty"`
	Ssthresh   int      `json:"ssthresh,omitempty"` // segments
	SndWnd     int      `json:"snd_wnd,omitempty"`
	RcvWnd     int      `json:"rcv_wnd,omitempty"`

	BytesSent     uint64 `json:"bytes_sent,omitempty"`
	BytesRetrans  uint64 `json:"bytes_retrans,omitempty"`
	BytesAcked    uint64 `json:"bytes_acked,omitempty"`
	BytesReceived uint64 `json:"bytes_received,omitempty"`
	SegsOut       uint64 `json:"segs_out,omitempty"`
	SegsIn        uint64 `json:"segs_in,omitempty"`
	DataSegsOut   uint64 `json:"data_segs_out,omitempty"`
	DataSegsIn    uint64 `json:"data_segs_in,omitempty"`
	Retrans       uint64 `json:"retrans,omitempty"`
	Timeouts      uint64 `json:"timeouts,omitempty"`
	DSACKs        uint64 `json:"dsacks,omitempty"`
	Unacked       int    `json:"unacked,omitempty"`
	Unsent        int    `json:"notsent,omitempty"`
	Lost          int    `json:"lost,omitempty"`
	Sacked        int    `json:"sacked,omitempty"`
	OutOfOrder    int    `json:"out_of_order,omitempty"`
	DeliveryRate  uint64 `json:"delivery_rate,omitempty"`
	AppLimited    bool   `json:"app_limited,omitempty"` // delivery_rate was measured while the application limited it
	PacingRate    uint64 `json:"pacing_rate,omitempty"`
	SendBuffer    int    `json:"send_buffer,omitempty"`
	ReceiveBuffer int    `json:"receive_buffer,omitempty"`

	Limit    string             `json:"limit,omitempty"`   // what keeps it from sending more: app, rwnd, cwnd, pacing, memory, sndbuf; idle
	Limited  map[string]float64 `json:"limited,omitempty"` // milliseconds that each of them held
	Recovery bool               `json:"recovery,omitempty"`
	Error    string             `json:"error,omitempty"` // what the network reported
	Age      float64            `json:"age,omitempty"`
	LastSnd  float64            `json:"lastsnd,omitempty"` // since data was sent, data was received, an acknowledgement came
	LastRcv  float64            `json:"lastrcv,omitempty"`
	LastAck  float64            `json:"lastack,omitempty"`
}

// limitNames are the reasons in one word.
var limitNames = map[tcp.Limit]string{
	tcp.LimitIdle: "idle", tcp.LimitApp: "app", tcp.LimitWindow: "rwnd", tcp.LimitCwnd: "cwnd", tcp.LimitBuffer: "sndbuf",
	tcp.LimitPacing: "pacing", tcp.LimitMemory: "memory",
}

func milliseconds(d tcp.Duration) float64 { return float64(d/tcp.Microsecond) / 1000 }

// ends returns both ends of a flow, ours first.
func ends(f *tcp.Flow) (local, peer netip.AddrPort) {
	return netip.AddrPortFrom(f.Local.Netip(), f.LocalPort), netip.AddrPortFrom(f.Remote.Netip(), f.RemotePort)
}

// viewConn puts what the stack knows into the words of ss.
func viewConn(i *stack.ConnInfo) connView {
	local, peer := ends(&i.Flow)
	v := connView{State: stateName(i.State), Local: local.String(), Peer: peer.String(), Options: optionWords(&i.Info), Active: i.Active}
	if i.ID == (stack.ConnID{}) {
		return v
	}
	v.ID, v.RecvQ, v.SendQ = i.ID.String(), i.Unread, i.Unacked+i.Unsent
	v.Congestion, v.RTO, v.RTT, v.RTTVar, v.MinRTT = i.Congestion.String(), milliseconds(i.RTO), milliseconds(i.RTT), milliseconds(i.RTTVar), milliseconds(i.MinRTT)
	v.ATO, v.Backoff, v.RcvMSS, v.AdvMSS = milliseconds(i.AckDelay), i.Backoff, i.PeerMSS, i.AdvertisedMSS
	v.DataSegsOut, v.DataSegsIn, v.AppLimited = i.DataSegmentsOut, i.DataSegmentsIn, i.RateAppLimited
	v.MSS, v.PMTU, v.CwndBytes, v.SndWnd, v.RcvWnd = i.MSS, i.PathMTU, i.Cwnd, i.SndWnd, i.RcvWnd
	if i.MSS > 0 {
		v.Cwnd, v.Ssthresh = i.Cwnd/i.MSS, i.Ssthresh/i.MSS
	}
	v.BytesSent, v.BytesRetrans, v.BytesAcked, v.BytesReceived = i.BytesSent, i.BytesRetransmitted, i.BytesAcked, i.BytesReceived
	v.SegsOut, v.SegsIn, v.Retrans, v.Timeouts, v.DSACKs = i.SegmentsOut, i.SegmentsIn, i.Retransmits, i.Timeouts, i.DSACKs
	v.Unacked, v.Unsent, v.Lost, v.Sacked, v.OutOfOrder = i.Unacked, i.Unsent, i.Lost, i.Sacked, i.OutOfOrder
	v.DeliveryRate, v.PacingRate, v.SendBuffer, v.ReceiveBuffer = i.DeliveryRate, i.PacingRate, i.SendBuffer, i.ReceiveBuf
	v.Limit, v.Limited, v.Recovery = limitNames[i.Limit], limitedTimes(&i.Info), i.InRecovery
	if i.SoftError != nil {
		v.Error = i.SoftError.Error()
	}
	v.Age, v.LastSnd, v.LastRcv, v.LastAck = milliseconds(i.Age), milliseconds(i.LastDataSent), milliseconds(i.LastDataReceived), milliseconds(i.Idle)
	return v
}

func stateName(s tcp.State) string {
	for _, n := range stateNames {
		if n.state == s {
			return n.short
		}
	}
	return s.String()
}

func optionWords(i *tcp.Info) []string {
	var words []string
	for _, o := range []struct {
		on   bool
		word string
	}{{i.Timestamps, "ts"}, {i.SACK, "sack"}, {i.ECN, "ecn"}, {i.ECNSeen, "ecnseen"}} {
		if o.on {
			words = append(words, o.word)
		}
	}
	if i.SndScale > 0 || i.RcvScale > 0 {
		words = append(words, fmt.Sprintf("wscale:%d,%d", i.SndScale, i.RcvScale))
	}
	return words
}

// limitedTimes tells for how long each reason held, of those that did.
func limitedTimes(i *tcp.Info) map[string]float64 {
	times := map[string]float64{}
	for name, d := range map[string]tcp.Duration{
		"app": i.AppLimited, "rwnd": i.WindowLimited, "cwnd": i.CwndLimited, "sndbuf": i.BufferLimited, "pacing": i.PacingLimited,
		"memory": i.MemoryLimited,
	} {
		if d > 0 {
			times[name] = milliseconds(d)
		}
	}
	return times
}

// info is the line of ss -i.
func (v *connView) info() string {
	if v.ID == "" {
		return strings.Join(v.Options, " ")
	}
	words := append(append([]string{}, v.Options...), v.Congestion)
	add := func(on bool, format string, args ...any) {
		if on {
			words = append(words, fmt.Sprintf(format, args...))
		}
	}
	add(v.RTO > 0, "rto:%s", trimmed(v.RTO))
	add(v.Backoff > 0, "backoff:%d", v.Backoff)
	add(v.RTT > 0, "rtt:%s/%s", trimmed(v.RTT), trimmed(v.RTTVar))
	add(v.MinRTT > 0, "minrtt:%s", trimmed(v.MinRTT))
	add(v.ATO > 0, "ato:%s", trimmed(v.ATO))
	add(true, "mss:%d pmtu:%d rcvmss:%d advmss:%d cwnd:%d", v.MSS, v.PMTU, v.RcvMSS, v.AdvMSS, v.Cwnd)
	add(v.Ssthresh > 0, "ssthresh:%d", v.Ssthresh)
	add(v.BytesSent > 0, "bytes_sent:%d", v.BytesSent)
	add(v.BytesRetrans > 0, "bytes_retrans:%d", v.BytesRetrans)
	add(v.BytesAcked > 0, "bytes_acked:%d", v.BytesAcked)
	add(v.BytesReceived > 0, "bytes_received:%d", v.BytesReceived)
	add(true, "segs_out:%d segs_in:%d data_segs_out:%d data_segs_in:%d", v.SegsOut, v.SegsIn, v.DataSegsOut, v.DataSegsIn)
	add(true, "lastsnd:%.0f lastrcv:%.0f lastack:%.0f", v.LastSnd, v.LastRcv, v.LastAck)
	add(v.Retrans > 0, "retrans:%d", v.Retrans)
	add(v.Timeouts > 0, "timeouts:%d", v.Timeouts)
	add(v.DSACKs > 0, "dsack_dups:%d", v.DSACKs)
	add(v.Unacked > 0, "unacked:%d", v.Unacked)
	add(v.Unsent > 0, "notsent:%d", v.Unsent)
	add(v.Lost > 0, "lost:%d", v.Lost)
	add(v.Sacked > 0, "sacked:%d", v.Sacked)
	add(v.OutOfOrder > 0, "rcv_ooo:%d", v.OutOfOrder)
	add(v.DeliveryRate > 0, "delivery_rate:%s", bitRate(v.DeliveryRate))
	add(v.AppLimited, "app_limited")
	add(v.PacingRate > 0, "pacing_rate:%s", bitRate(v.PacingRate))
	add(true, "snd_wnd:%d rcv_wnd:%d", v.SndWnd, v.RcvWnd)
	add(v.Recovery, "recovery")
	add(v.Error != "", "error:%q", v.Error)
	add(true, "lim:%s", v.Limit)
	return strings.Join(words, " ")
}

// memory is what ss -m tells.
func (v *connView) memory() string {
	return fmt.Sprintf("skmem:(r%d,rb%d,t%d,tb%d,o%d)", v.RecvQ+v.OutOfOrder, v.ReceiveBuffer, v.SendQ, v.SendBuffer, v.OutOfOrder)
}

func trimmed(f float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.3f", f), "0"), ".")
}

// bitRate writes a rate in bits as ss does: 8.1Gbps.
func bitRate(bytes uint64) string {
	f, unit := float64(bytes)*8, 0
	for f >= 1000 && unit < 4 {
		f, unit = f/1000, unit+1
	}
	return trimmed(float64(int64(f*100+0.5))/100) + []string{"bps", "Kbps", "Mbps", "Gbps", "Tbps"}[unit]
}

// stamp writes an instant, in milliseconds, so that neighbours can be told apart.
func stamp(ms float64) string { return fmt.Sprintf("%.3f ms", ms) }

// spell writes a time of milliseconds for people.
func spell(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= time.Minute:
		d = d.Round(time.Second)
	case d >= time.Second:
		d = d.Round(10 * time.Millisecond)
	default:
		d = d.Round(time.Microsecond)
	}
	return d.String()
}
