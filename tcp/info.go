package tcp

// Info describes a connection, in the manner of Linux' TCP_INFO. Sizes are bytes.
type Info struct {
	Flow       Flow
	State      State
	Slot       uint32 // with Generation the name of the connection in its table; see Table.Lookup
	Generation uint32 // how many connections have had the slot, this one included; 0: a record that is no whole connection
	Active     bool   // opened by us
	Congestion Congestion

	MSS, PathMTU           int
	RTT, RTTVar, MinRTT    Duration // 0: not measured
	RTO                    Duration
	Cwnd, Ssthresh         int // Ssthresh 0: not set yet
	SndWnd, RcvWnd         int
	SndScale, RcvScale     int
	Timestamps, SACK       bool
	ECN, ECNSeen           bool // negotiated (RFC 3168); the peer's data is ECN-capable
	InRecovery             bool
	SynData                bool // data that travelled with the SYN was taken (RFC 7413)
	Unread, Unsent         int
	Unacked, Pipe          int
	Sacked, Lost           int
	OutOfOrder             int // bytes received beyond a hole
	SendBuffer, ReceiveBuf int // present limits

	BytesSent, BytesAcked, BytesReceived, BytesRetransmitted uint64
	SegmentsIn, SegmentsOut, Retransmits, Timeouts, DSACKs   uint64

	MarksReceived   uint64 // segments that arrived with CE
	DeliveredMarked uint64 // segments of ours whose acknowledgements had ECE
	MarkReductions  uint64 // windows reduced for it

	Age, Idle Duration

	Urgent    int   // bytes that are to be read up to the end of the peer's urgent data; 0: there is none
	Retries   int   // time-outs and probes since the peer last acknowledged something
	SoftError error // what the network said meanwhile: ErrUnreachable, ErrRefused or nil

	LossProbes   uint64 // RFC 8985, section 7
	Undone       uint64 // recoveries and time-outs that had been for nothing
	Reordering   bool   // segments were seen to arrive in another order than they were sent
	ReorderingBy int    // the reordering window, in quarters of the shortest round-trip time

	Limit                      Limit    // what keeps it from sending more
	Busy                       Duration // how long data was under way or waited to be sent; and of that, limited by
	AppLimited, WindowLimited  Duration
	CwndLimited, BufferLimited Duration
	PacingLimited              Duration
	MemoryLimited              Duration

	DeliveryRate   uint64 // bytes per second, of the latest sample; 0: none yet
	RateAppLimited bool   // it was measured while the application limited it
	PacingRate     uint64 // bytes per second; 0: not paced

	Model Model // of BBR
}

// Model is what BBR knows of the path; all zero with another algorithm.
type Model struct {
	Phase                Phase
	Bandwidth            uint64   // bytes per second
	MinRTT               Duration // 0: not measured
	PacingGain, CwndGain int      // percent
	InflightLong         int      // bytes that the path has taken without much loss, inflight_longterm; 0: no limit is known
	InflightShort        int      // the same of late, inflight_shortterm
}

// Info is an application call.
func (t *Table) Info(now Time, c *Conn) Info {
	f, st := &c.flight, &c.stats
	i := Info{
		Flow: c.flow, State: c.state, Slot: c.slot, Generation: t.generations[c.slot], Active: c.active, Congestion: c.cc.algorithm,
		MSS: int(c.snd.mss), PathMTU: int(c.pathMTU),
		RTT: c.rtt.srtt, RTTVar: c.rtt.rttvar, MinRTT: c.rtt.min, RTO: c.rtt.rto(),
		Cwnd: int(c.cc.cwnd), SndWnd: int(c.snd.wnd), RcvWnd: max(c.rcv.adv.Sub(c.rcv.nxt), 0),
		SndScale: int(c.snd.scale), RcvScale: int(c.rcv.scale), Timestamps: c.timestamps, SACK: c.sack,
		InRecovery: c.recovery.kind != recoverNone, SynData: c.fast&fastData != 0,
		Unread: int(c.rcv.buf.len), Unsent: max(c.unsent(), 0), Unacked: c.snd.nxt.Sub(c.snd.una), Pipe: f.pipe,
		Sacked: f.sacked, Lost: f.lost, SendBuffer: c.sendLimit(), ReceiveBuf: int(c.rcv.limit),
		BytesSent: st.bytesSent, BytesAcked: st.bytesAcked, BytesReceived: st.bytesReceived,
		BytesRetransmitted: st.bytesRetransmitted, SegmentsIn: st.segmentsIn, SegmentsOut: st.segmentsOut,
		Retransmits: uint64(st.retransmits), Timeouts: uint64(st.timeouts), DSACKs: uint64(st.dsacks),
		ECN: c.ecn.capable, ECNSeen: c.ecn.seen, MarksReceived: uint64(st.marks),
		DeliveredMarked: uint64(st.deliveredMarked), MarkReductions: uint64(st.reductions),
		Age: now.Sub(c.born), Idle: now.Sub(c.heard), Urgent: c.urgentAhead(), Retries: int(c.retries), SoftError: c.soft.err(),
		LossProbes: uint64(st.lossProbes), Undone: uint64(st.undone), Reordering: c.reorder.seen, ReorderingBy: int(c.reorder.mult) + 1,
	}
	if c.cc.ssthresh != infiniteSsth {
		i.Ssthresh = int(c.cc.ssthresh)
	}
	i.DeliveryRate, i.RateAppLimited = c.deliveryRate&^appLimited, c.deliveryRate&appLimited != 0
	if c.paced() {
		i.PacingRate = c.pacingRate()
	}
	if c.cc.bbr != nil {
		i.Model = c.cc.bbr.model()
	}
	i.limits(c.limits.after(now, c), c.limits.now)
	for _, r := range c.ahead {
		i.OutOfOrder += r.len()
	}
	return i
}

// OutOfOrder is an application call: the ranges that c has received beyond a hole, in order. Numbers are relative: the peer's
// SYN has number 0.
func (t *Table) OutOfOrder(c *Conn) []Range {
	var list []Range
	for _, x := range c.ahead {
		list = append(list, Range{x.start - c.rcv.irs, x.end - c.rcv.irs})
	}
	return list
}

// Options is an application call: what c was told, or took by default.
func (t *Table) Options(c *Conn) Options { return *c.opts }

func (i *Info) limits(spent [numLimits]Duration, now Limit) {
	i.Limit = now
	i.AppLimited, i.WindowLimited = spent[LimitApp], spent[LimitWindow]
	i.CwndLimited, i.BufferLimited = spent[LimitCwnd], spent[LimitBuffer]
	i.PacingLimited, i.MemoryLimited = spent[LimitPacing], spent[LimitMemory]
	i.Busy = i.MemoryLimited + i.PacingLimited + i.AppLimited + i.WindowLimited + i.CwndLimited + i.BufferLimited
}
