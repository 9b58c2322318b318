package main

import (
	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// exposeStack writes what IP and TCP count. Counts of TCP are those of all shards together.
func exposeStack(e *exposition, s stack.Stats, l tun.Stats) {
	e.counter("tcpd_ip_packets_received_total", "Packets that reached the stack.", s.PacketsIn)
	e.counter("tcpd_ip_packets_delivered_total", "Packets delivered to a connection, or answered.", s.Delivered)
	e.counter("tcpd_ip_packets_sent_total", "Packets handed to the link.", s.PacketsOut)
	e.counter("tcpd_ip_write_errors_total", "Packets that the link refused.", s.WriteErrors)
	e.counter("tcpd_ip_fragments_received_total", "Fragments taken in for reassembly.", s.Fragments)
	e.counter("tcpd_ip_reassembled_total", "Datagrams completed from fragments.", s.Reassembled)
	e.gauge("tcpd_ip_reassembly_bytes", "Bytes of fragments that wait for others.", float64(s.ReassemblyBytes))
	e.counter("tcpd_icmp_echo_replies_total", "Pings answered.", s.EchoReplies)
	e.counter("tcpd_icmp_errors_sent_total", "ICMP errors sent.", s.ICMPErrors)
	e.counter("tcpd_icmp_errors_limited_total", "ICMP errors not sent because of their rate.", s.ICMPErrorsLimited)

	// Apart from the drops: these fragments were taken in, and each packet is counted once.
	e.family("tcpd_ip_fragments_lost_total", "counter", "Fragments that waited for others and were given up.")
	for r := ip.DropNone + 1; r < ip.NumDrops; r++ {
		if n := s.Reassembly.Lost[r]; n > 0 {
			e.sample("tcpd_ip_fragments_lost_total", float64(n), "reason", r.String())
		}
	}

	e.family("tcpd_drops_total", "counter", "Packets that were dropped.")
	for _, d := range drops(s, l) {
		e.sample("tcpd_drops_total", float64(d.Count), "layer", d.Layer, "reason", d.Reason)
	}

	e.family("tcpd_tcp_connections", "gauge", "Connections, by kind of record.")
	e.sample("tcpd_tcp_connections", float64(s.Connections), "kind", "connection")
	e.sample("tcpd_tcp_connections", float64(s.HalfOpen), "kind", "half_open")
	e.sample("tcpd_tcp_connections", float64(s.TimeWait), "kind", "time_wait")
	e.family("tcpd_memory_bytes", "gauge", "Memory of buffers and records.")
	e.sample("tcpd_memory_bytes", float64(s.MemoryUsed), "kind", "used")
	e.sample("tcpd_memory_bytes", float64(s.MemoryPeak), "kind", "peak")
	e.sample("tcpd_memory_bytes", float64(s.MemoryLimit), "kind", "limit")
	e.counter("tcpd_memory_refused_total", "Times that memory was asked for beyond the limit.", s.MemoryRefused)
	exposeTCP(e, s.TCP)
}

// tcpCounters are the families that stand for one number of tcp.Counters each.
var tcpCounters = []struct {
	name, help string
	value      func(*tcp.Counters) uint64
}{
	{"segments_received", "Segments that arrived; a super-packet is one.", func(c *tcp.Counters) uint64 { return c.SegmentsIn }},
	{"segments_sent", "Segments sent; a super-packet is one.", func(c *tcp.Counters) uint64 { return c.SegmentsOut }},
	{"segments_retransmitted", "Segments sent again.", func(c *tcp.Counters) uint64 { return c.Retransmits }},
	{"timeouts", "Expiries of the retransmission timer.", func(c *tcp.Counters) uint64 { return c.Timeouts }},
	{"recoveries", "Times that lost segments were recovered before the timer expired.", func(c *tcp.Counters) uint64 { return c.Recoveries }},
	{"recoveries_undone", "Recoveries of segments that had not been lost.", func(c *tcp.Counters) uint64 { return c.RecoveriesUndone }},
	{"timeouts_undone", "Expiries of the retransmission timer when nothing had been lost.", func(c *tcp.Counters) uint64 { return c.TimeoutsUndone }},
	{"loss_probes", "Probes for a lost tail (RFC 8985).", func(c *tcp.Counters) uint64 { return c.LossProbes }},
	{"loss_probe_repairs", "Probes that repaired a loss by themselves.", func(c *tcp.Counters) uint64 { return c.LossProbeRepairs }},
	{"accepted", "Connections opened by clients.", func(c *tcp.Counters) uint64 { return c.Accepted }},
	{"opened", "Connections opened by us.", func(c *tcp.Counters) uint64 { return c.Opened }},
	{"closed", "Connections that ended.", func(c *tcp.Counters) uint64 { return c.Closed }},
	{"timed_out", "Connections given up because the peer was silent.", func(c *tcp.Counters) uint64 { return c.TimedOut }},
	{"resets_received", "Connections reset by the peer.", func(c *tcp.Counters) uint64 { return c.ResetsIn }},
	{"resets_sent", "Segments with RST sent.", func(c *tcp.Counters) uint64 { return c.ResetsOut }},
	{"challenge_acks", "Challenge ACKs sent (RFC 5961).", func(c *tcp.Counters) uint64 { return c.ChallengeAcks }},
	{"duplicates_received", "Segments with nothing new.", func(c *tcp.Counters) uint64 { return c.DuplicatesIn }},
	{"bad_sacks", "SACK blocks that cannot be.", func(c *tcp.Counters) uint64 { return c.BadSACKs }},
	{"malformed_options", "Segments whose options have a length that cannot be.", func(c *tcp.Counters) uint64 { return c.MalformedOptions }},
	{"zero_window_probes", "Probes of a closed window.", func(c *tcp.Counters) uint64 { return c.ZeroWindowProbes }},
	{"keepalive_probes", "Probes of a silent peer.", func(c *tcp.Counters) uint64 { return c.KeepAliveProbes }},
	{"fin_wait_2_timeouts", "Closed connections whose peer never closed.", func(c *tcp.Counters) uint64 { return c.FinWait2Timeouts }},
	{"half_open_timeouts", "Handshakes that were never completed.", func(c *tcp.Counters) uint64 { return c.HalfOpenTimeouts }},
	{"held_timeouts", "Clients that waited for the service's decision for too long.", func(c *tcp.Counters) uint64 { return c.HeldTimeouts }},
	{"time_wait_reused", "Connections that replaced one in TIME-WAIT (RFC 6191).", func(c *tcp.Counters) uint64 { return c.TimeWaitReused }},
	{"time_wait_evicted", "Records of TIME-WAIT given up early because of their limit.", func(c *tcp.Counters) uint64 { return c.TimeWaitEvicted }},
	{"time_wait_refused", "Records of TIME-WAIT not made because of memory.", func(c *tcp.Counters) uint64 { return c.TimeWaitRefused }},
	{"reclaimed_orphans", "Closed connections given up for want of memory.", func(c *tcp.Counters) uint64 { return c.Reclaimed[0] }},
	{"reclaimed_time_wait", "Records of TIME-WAIT given up for want of memory.", func(c *tcp.Counters) uint64 { return c.Reclaimed[1] }},
	{"reclaimed_zero_window", "Connections whose peer took nothing, reset for want of memory.", func(c *tcp.Counters) uint64 { return c.Reclaimed[2] }},
	{"reclaimed_idle", "Silent connections reset for want of memory.", func(c *tcp.Counters) uint64 { return c.Reclaimed[3] }},
	{"path_mtu_reduced", "Times that a path turned out narrower.", func(c *tcp.Counters) uint64 { return c.PathMTUReduced }},
	{"ecn_negotiated", "Connections that use ECN (RFC 3168).", func(c *tcp.Counters) uint64 { return c.ECNNegotiated }},
	{"ecn_marks_received", "Segments that arrived with the mark CE.", func(c *tcp.Counters) uint64 { return c.MarksReceived }},
	{"ecn_echoes_received", "Acknowledgements with ECE: marks on the way of what was sent.", func(c *tcp.Counters) uint64 { return c.EchoesReceived }},
	{"ecn_reductions", "Windows reduced because of marks.", func(c *tcp.Counters) uint64 { return c.MarkReductions }},
	{"black_holes", "Times that large segments seemed to vanish and smaller ones were sent (RFC 8899).", func(c *tcp.Counters) uint64 { return c.BlackHoles }},
	{"mtu_probes", "Segments larger than the path was known to carry.", func(c *tcp.Counters) uint64 { return c.MTUProbes }},
	{"mtu_probes_lost", "Of these, those that were too large.", func(c *tcp.Counters) uint64 { return c.MTUProbesLost }},
	{"path_mtu_raised", "Times that a narrow path was taken for a wide one again, after ten minutes.", func(c *tcp.Counters) uint64 { return c.PathMTURaised }},
	{"cookies_sent", "SYNs answered with a cookie, without a record.", func(c *tcp.Counters) uint64 { return c.CookiesSent }},
	{"cookies_accepted", "Connections opened by a cookie.", func(c *tcp.Counters) uint64 { return c.CookiesAccepted }},
	{"fast_open_accepted", "Connections opened by a SYN with a cookie (RFC 7413).", func(c *tcp.Counters) uint64 { return c.FastOpenAccepted }},
	{"fast_open_refused", "SYNs with a cookie that is not ours, or too old.", func(c *tcp.Counters) uint64 { return c.FastOpenRefused }},
	{"fast_open_overflows", "SYNs with a cookie when too many connections waited for their clients.", func(c *tcp.Counters) uint64 { return c.FastOpenOverflows }},
	{"fast_open_sent", "SYNs of ours with data.", func(c *tcp.Counters) uint64 { return c.FastOpenSent }},
	{"fast_open_fallbacks", "SYNs of ours for Fast Open that were lost, or whose data was not taken.", func(c *tcp.Counters) uint64 { return c.FastOpenFallbacks }},
	{"fast_open_cookies", "Cookies that servers gave us.", func(c *tcp.Counters) uint64 { return c.FastOpenCookies }},
	{"resets_suppressed", "Strays not answered with RST because their source sent too many.", func(c *tcp.Counters) uint64 { return c.ResetsSuppressed }},
	{"replies_suppressed", "Segments in answer to strays that were not sent because of their rate.", func(c *tcp.Counters) uint64 { return c.RepliesSuppressed }},
}

func exposeTCP(e *exposition, shards []tcp.Counters) {
	for _, c := range tcpCounters {
		var sum uint64
		for i := range shards {
			sum += c.value(&shards[i])
		}
		e.counter("tcpd_tcp_"+c.name+"_total", c.help, sum)
	}
}
