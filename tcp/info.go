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
	CongestionState        CongestionState
	SynData                bool // data that travelled with the SYN was taken (RFC 7413)
	Unread, Unsent         int
	Unacked, Pipe          int
	Sacked, Lost           int
	Retransmitted          int // of Pipe and Sacked, bytes that were sent more than once
	OutOfOrder             int // bytes received beyond a hole
	SendBuffer, ReceiveBuf int // present limits
	PeerMSS, AdvertisedMSS int // payload of the peer's full segments, as far as seen; what we told it to send at most

	BytesSent, BytesAcked, BytesReceived, BytesRetransmitted uint64
	SegmentsIn, SegmentsOut, Retransmits, Timeouts, DSACKs   uint64
	DataSegmentsIn, DataSegmentsOut                          uint64 // of them, those with data in the window, and with data
	OutOfOrderIn                                             uint64 // packets that arrived beyond a hole
	Delivered                                                uint64 // bytes the peer is known to have, cumulatively or selectively

	MarksReceived   uint64 // segments that arrived with CE
	DeliveredMarked uint64 // segments of ours whose acknowledgements had ECE
	MarkReductions  uint64 // windows reduced for it

	Age, Idle Duration // Idle: since the peer's last acknowledgement
	// Since data was sent and received last; as long as Age when there was none.
	LastDataSent, LastDataReceived Duration
	AckDelay                       Duration // how long an acknowledgement waits for data now; 0: not at all

	Urgent    int   // bytes that are to be read up to the end of the peer's urgent data; 0: there is none
	Backoff   int   // doublings of the retransmission time-out
	Probes    int   // of keep-alive or of a closed window that are not answered
	Retries   int   // time-outs and probes since the peer last acknowledged something
	SoftError error // what the network said meanwhile: ErrUnreachable, ErrRefused or nil

	LossProbes   uint64 // RFC 8985, section 7
	Undone       uint64 // recoveries and time-outs that had been for nothing
	Reorderings  uint64 // acknowledgements that showed segments to arrive in another order
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
		Sacked: f.sacked, Lost: int(f.lost), SendBuffer: c.sendLimit(), ReceiveBuf: int(c.rcv.limit),
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
	t.describe(now, c, &i)
	i.limits(c.limitedFor(now), c.limit)
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

// describe fills in what follows from several parts of the record.
func (t *Table) describe(now Time, c *Conn, i *Info) {
	st := &c.stats
	i.CongestionState = c.congestionState()
	i.DataSegmentsIn, i.DataSegmentsOut = uint64(st.dataIn), uint64(st.dataOut)
	i.OutOfOrderIn, i.Reorderings = uint64(st.outOfOrder), uint64(st.reordered)
	i.Delivered = st.bytesAcked + uint64(c.flight.sacked)
	i.PeerMSS, i.AdvertisedMSS = int(c.rcv.mss), int(t.ourMSS(&c.flow))
	for p := (place{}); c.flight.has(p); p = c.flight.next(p) {
		if s := c.flight.at(p); s.fate&retransmitted != 0 && s.fate&lost == 0 {
			i.Retransmitted += s.len()
		}
	}
	i.LastDataSent, i.LastDataReceived = i.Age, i.Age
	if st.dataOut > 0 {
		i.LastDataSent = now.Sub(c.lastSent)
	}
	if c.rcv.dataAt != 0 {
		i.LastDataReceived = now.Sub(c.rcv.dataAt)
	}
	if c.rcv.quick == 0 || c.rcv.interactive {
		i.AckDelay = delayedAck
	}
	i.Backoff, i.Probes = int(c.rtt.backoff), int(c.keepProbes)
	if c.deadlines[timerPersist] != 0 {
		i.Probes = int(c.retries)
	}
}

// CongestionState says what the sender is recovering from: the states of Linux' sender.
type CongestionState uint8

// The states.
const (
	CongestionOpen     CongestionState = iota // from nothing
	CongestionDisorder                        // something is sacked, nothing was found lost yet
	CongestionCWR                             // the window was reduced for a mark (RFC 3168)
	CongestionRecovery                        // fast recovery
	CongestionLoss                            // a retransmission time-out
)

func (s CongestionState) String() string {
	return [...]string{"open", "disorder", "cwr", "recovery", "loss"}[s]
}

func (c *Conn) congestionState() CongestionState {
	switch {
	case c.recovery.kind == recoverTimeout:
		return CongestionLoss
	case c.recovery.kind == recoverFast:
		return CongestionRecovery
	case c.ecn.reduced:
		return CongestionCWR
	case c.flight.sacked > 0 || c.snd.dupAcks > 0:
		return CongestionDisorder
	}
	return CongestionOpen
}

func (i *Info) limits(spent [numLimits]Duration, now Limit) {
	i.Limit = now
	i.AppLimited, i.WindowLimited = spent[LimitApp], spent[LimitWindow]
	i.CwndLimited, i.BufferLimited = spent[LimitCwnd], spent[LimitBuffer]
	i.PacingLimited, i.MemoryLimited = spent[LimitPacing], spent[LimitMemory]
	i.Busy = i.MemoryLimited + i.PacingLimited + i.AppLimited + i.WindowLimited + i.CwndLimited + i.BufferLimited
}
