package tcp

// Info describes a connection, in the manner of Linux' TCP_INFO. Sizes are bytes.
type Info struct {
	Flow       Flow
	State      State
	Active     bool // opened by us
	Congestion Congestion

	MSS, PathMTU           int
	RTT, RTTVar, MinRTT    Duration // 0: not measured
	RTO                    Duration
	Cwnd, Ssthresh         int // Ssthresh 0: not set yet
	SndWnd, RcvWnd         int
	SndScale, RcvScale     int
	Timestamps, SACK       bool
	InRecovery             bool
	Unread, Unsent         int
	Unacked, Pipe          int
	Sacked, Lost           int
	OutOfOrder             int // bytes received beyond a hole
	SendBuffer, ReceiveBuf int // present limits

	BytesSent, BytesAcked, BytesReceived, BytesRetransmitted uint64
	SegmentsIn, SegmentsOut, Retransmits, Timeouts, DSACKs   uint64

	Age, Idle Duration
}

// Info is an application call.
func (t *Table) Info(now Time, c *Conn) Info {
	f, st := &c.snd.flight, &c.stats
	i := Info{
		Flow: c.flow, State: c.state, Active: c.active, Congestion: c.cc.algorithm,
		MSS: int(c.snd.mss), PathMTU: int(c.pathMTU),
		RTT: c.rtt.srtt, RTTVar: c.rtt.rttvar, MinRTT: c.rtt.min, RTO: c.rtt.rto(),
		Cwnd: int(c.cc.cwnd), SndWnd: int(c.snd.wnd), RcvWnd: max(c.rcv.adv.Sub(c.rcv.nxt), 0),
		SndScale: int(c.snd.scale), RcvScale: int(c.rcv.scale), Timestamps: c.timestamps, SACK: c.sack,
		InRecovery: c.recovery.kind != recoverNone,
		Unread:     int(c.rcv.buf.len), Unsent: max(c.unsent(), 0), Unacked: c.snd.nxt.Sub(c.snd.una), Pipe: f.pipe,
		Sacked: f.sacked, Lost: f.lost, SendBuffer: c.sendLimit(), ReceiveBuf: int(c.rcv.limit),
		BytesSent: st.bytesSent, BytesAcked: st.bytesAcked, BytesReceived: st.bytesReceived,
		BytesRetransmitted: st.bytesRetransmitted, SegmentsIn: st.segmentsIn, SegmentsOut: st.segmentsOut,
		Retransmits: st.retransmits, Timeouts: st.timeouts, DSACKs: st.dsacks,
		Age: now.Sub(c.born), Idle: now.Sub(c.heard),
	}
	if c.cc.ssthresh != infiniteSsth {
		i.Ssthresh = int(c.cc.ssthresh)
	}
	for _, r := range c.rcv.ahead {
		i.OutOfOrder += r.len()
	}
	return i
}
