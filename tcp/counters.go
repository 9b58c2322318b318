package tcp

// Counters count what happened in a table since it was made.
type Counters struct {
	SegmentsIn, SegmentsOut uint64 // as packets of the link: a super-packet counts once
	Retransmits             uint64 // segments
	Timeouts                uint64
	Recoveries              uint64
	RecoveriesUndone        uint64 // nothing had been lost
	TimeoutsUndone          uint64 // of Timeouts: nothing had been lost
	LossProbes              uint64 // RFC 8985, section 7
	LossProbeRepairs        uint64 // a probe that repaired a loss by itself
	Accepted, Opened        uint64
	Closed                  uint64
	TimedOut                uint64
	ResetsIn, ResetsOut     uint64
	ChallengeAcks           uint64
	DuplicatesIn            uint64
	BadSACKs                uint64
	MalformedOptions        uint64
	ZeroWindowProbes        uint64
	KeepAliveProbes         uint64
	FinWait2Timeouts        uint64
	HalfOpenTimeouts        uint64
	HeldTimeouts            uint64
	TimeWaitReused          uint64
	TimeWaitEvicted         uint64
	TimeWaitRefused         uint64
	Reclaimed               [numSacrifices]uint64 // given up for want of memory: orphans, TIME-WAIT, closed windows, idle
	PathMTUReduced          uint64
	BlackHoles              uint64 // times that large segments seemed to vanish (RFC 8899)
	MTUProbes               uint64 // segments larger than the path is known to carry
	MTUProbesLost           uint64
	PathMTURaised           uint64 // tried larger again, after ten minutes
	RepliesSuppressed       uint64
	ResetsSuppressed        uint64 // RSTs that a source would have had too many of
	ECNNegotiated           uint64 // connections
	MarksReceived           uint64 // segments with CE (RFC 3168)
	EchoesReceived          uint64 // acknowledgements with ECE
	MarkReductions          uint64 // windows reduced for them
	CookiesSent             uint64 // SYN-ACKs that carry a cookie
	CookiesAccepted         uint64
	FastOpenAccepted        uint64 // connections opened by a SYN with a cookie (RFC 7413)
	FastOpenRefused         uint64 // SYNs with a cookie that is not ours, or too old
	FastOpenOverflows       uint64 // SYNs with a cookie when too many connections waited for their clients
	FastOpenSent            uint64 // SYNs of ours with data
	FastOpenFallbacks       uint64 // of those with the option: lost, or the data was not taken
	FastOpenCookies         uint64 // cookies that servers gave us

	// Drops counts each segment and each ICMP error that arrived, by what became of it; DropNone is "delivered".
	Drops [NumDrops]uint64
}

// Counters returns a copy.
func (t *Table) Counters() Counters { return t.counters }

// Lengths says how many records of each kind there are.
type Lengths struct {
	Connections, HalfOpen, TimeWait, Listeners int
}

// Len returns the numbers of records.
func (t *Table) Len() Lengths {
	return Lengths{Connections: t.nConns, HalfOpen: t.nHalves, TimeWait: t.waits.n, Listeners: len(t.bound)}
}

// Charged returns the bytes that the table holds of its budget.
func (t *Table) Charged() int {
	return t.pool.used*pageSize + t.nConns*connSize + t.nBBR*bbrSize + t.nHalves*halfSize + t.waits.kept*timeWaitSize + t.nBusies*busySize +
		t.pool.rings.charged + t.listBytes + t.nGrowths*growthSize + t.recorders.n*RecorderSize
}
