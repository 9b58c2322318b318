package tcp

import "unsafe"

// Conn is the record of one connection, the TCB of RFC 9293. It is plain data of its Table, which does everything with it.
// An application holds it from Accept or Connect until Close or Abort.
type Conn struct {
	snd sender
	rcv receiver
	rtt rttEstimator
	cc  window

	flow     Flow
	slot     uint32
	state    State
	live     bool // the record is in use
	detached bool // the table no longer finds it: closed, or TIME-WAIT goes on in a small record
	released bool // the application has given it up
	queued   bool // waits for its turn to send
	active   bool // opened by Connect

	ackNow    bool // an acknowledgement is due
	probe     bool // a zero-window or keep-alive probe is due
	force     bool // send what the window allows, however small
	fast      fastOpen
	corked    bool // a segment that is not full waits; see SetCork
	synDue    bool // the SYN, or SYN-ACK, is to be sent, for the first time or again
	wantRead  bool // the application has read everything and waits
	wantWrite bool
	signalled eventSet // events raised and not yet taken
	pinned    pins     // pages that an application copies from or to

	listener ListenerID
	pending  bool // in the listener's queue
	soft     softError

	failure   failure         // why it ended
	limit     Limit           // what holds it back, since limits.since
	deadlines [numTimers]Time // 0: not set
	wake      Time            // when the wheel calls; 0: not scheduled
	opts      *Options        // shared: others take its place, it is never changed
	*busy                     // what it needs while something is under way; see engage
	peerMSS   uint16
	pathMTU   uint16
	search    uint32 // for the path MTU; see mtuSearch

	timestamps bool
	sack       bool
	keepProbes uint8
	retries    uint8
	tsOffset   uint32
	tsRecent   uint32
	recorder   uint32 // its number, plus one; see Table.recorder
	tsRecentAt Time

	deliveryRate uint64 // see appLimited
	recovery     recovery
	reorder      reordering
	ecn          ecn

	heard, lastSent, stalled Time
	limits                   limits

	stats            connStats // the latter half of it, and what follows, is a cache line that few segments need
	born, challenged Time
}

// sender is the sending half.
//
//	     una             nxt                    buf.end
//	------|---in flight---|------unsent-----------|
//	      |------------wnd------------|
type sender struct {
	buf     stream // from una on: what is kept until it is acknowledged
	iss     Seq
	una     Seq
	nxt     Seq
	wnd     uint32 // bytes, scaled
	maxWnd  uint32
	wl1     Seq
	wl2     Seq
	small   Seq // end of the last segment that was not full (Minshall)
	mss     uint16
	scale   uint8
	fin     bool // FIN follows the last byte of buf
	finSent bool
	dupAcks uint8
	longest uint16 // super-packet, in units of 8 bytes; 0: the link was not asked
}

// receiver is the receiving half.
//
//	buf.front          nxt                         adv
//	------|--unread-----|--window, with ranges ahead--|
type receiver struct {
	buf     stream
	irs     Seq
	nxt     Seq
	adv     Seq    // right edge of the window as advertised; never moves left
	lastAck Seq    // Last.ACK.sent of RFC 7323
	limit   uint32 // of the buffer, at present
	max     uint32 // what it may become
	scale   uint8
	fin     bool // the peer's FIN was seen; finAt is its sequence number
	urgent  bool // RCV.UP is set and not yet read
	finAt   Seq
	mss     uint16 // full segment of the peer's, as far as seen
	size    uint16 // of its latest segment
	quick   uint8  // acknowledgements that are not delayed

	interactive bool   // our data answers theirs, and takes acknowledgements along
	trip        uint16 // ms: the shortest round trip since measured, as timestamps tell it; 0: none
	dataAt      Time   // of the latest segment with data; 0: none

	copied   uint32 // bytes the application took since measured
	up       Seq    // RCV.UP: the number behind the last urgent byte
	measured Time
}

type connStats struct {
	bytesSent, bytesAcked, bytesReceived uint64
	segmentsIn, segmentsOut              uint64

	// Numbers of segments and of events, modulo 2^32 as in Linux.
	dataIn, dataOut uint32

	bytesRetransmitted                        uint64
	outOfOrder                                uint32
	retransmits, timeouts, lossProbes, undone uint32
	dsacks, reordered                         uint32
	marks, deliveredMarked, reductions        uint32 // ECN: CE received, delivered under ECE, windows reduced
}

const (
	// With its timer, its place among the flows, and the record of a search, which anybody can make us begin by silence.
	connSize = int(unsafe.Sizeof(Conn{})+unsafe.Sizeof(wheelEntry{})+unsafe.Sizeof(mtuSearch{})) + placeSize
	bbrSize  = int(unsafe.Sizeof(bbr{}))
)

// size is what a connection with these options takes without its buffers.
func (o *Options) size() int {
	if o.Congestion == BBR {
		return connSize + bbrSize
	}
	return connSize
}

// Slot returns a small number, unique among the live connections of a table.
func (c *Conn) Slot() uint32 { return c.slot }

// At returns the connection with a slot. It is one that an application holds.
func (t *Table) At(slot uint32) *Conn { return t.conn(slot) }

// Flow returns the two ends.
func (c *Conn) Flow() Flow { return c.flow }

// State returns the state of RFC 9293.
func (c *Conn) State() State { return c.state }

// Options returns what the connection was told.
func (c *Conn) Options() Options { return *c.opts }

// Err returns why the connection ended, nil while it has not, or ended well.
func (c *Conn) Err() error { return failures[c.failure] }

// start sets both sequence spaces at the begin of a connection's life.
func (c *Conn) start(iss Seq) {
	c.snd.iss, c.snd.una, c.snd.nxt = iss, iss, iss
	c.snd.small = iss
	c.recovery.until = iss
	c.snd.buf.front = iss + 1
	c.rcv.limit = min(initialBuffer, c.rcv.max)
	c.rcv.mss = defaultMSS4
	c.wantRead = true
}

// peerStarts sets what the peer's SYN tells.
func (c *Conn) peerStarts(irs Seq, window uint32) {
	c.rcv.irs, c.rcv.nxt, c.rcv.lastAck = irs, irs+1, irs+1
	c.rcv.adv = irs + 1 + Seq(window)
	c.rcv.buf.front = irs + 1
}

// negotiated takes the options of the peer's SYN. An option is in use only if both offered it; we always do.
func (c *Conn) negotiated(o *options, scaleOffered bool) {
	c.timestamps = o.hasTimestamps
	c.sack = o.sackPermitted
	c.peerMSS = o.mss
	if o.hasScale && scaleOffered {
		c.snd.scale = o.scale
		c.rcv.scale = windowScale(int(c.rcv.max))
	} else {
		c.snd.scale, c.rcv.scale = 0, 0
		c.rcv.max = min(c.rcv.max, 65535)
		c.rcv.limit = min(c.rcv.limit, 65535)
	}
}

// startSending prepares for data after a handshake in which the SYN or SYN-ACK was sent again so many times.
func (c *Conn) startSending(now Time, retries int) {
	c.sizeSegments()
	c.cc.init(c.opts.Congestion, uint32(c.snd.mss), c.cc.bbr)
	if c.cc.bbr != nil {
		c.cc.bbr.start(now, &c.cc, c.rtt.srtt)
	}
	c.cc.usage.end = c.snd.iss
	if retries > 1 {
		// "... refrain from resetting the initial window to one segment unless there have been more than one SYN or SYN/ACK
		// retransmissions" (RFC 6928, section 2)
		c.cc.set(c.cc.mss)
	}
	c.rtt.cautious = retries > 0
}

// windowScale returns the smallest shift that can express a window of n bytes.
func windowScale(n int) uint8 {
	var s uint8
	for s < maxWindowScale && n>>s > 65535 {
		s++
	}
	return s
}

// theirMSS is what the peer takes, without IP and TCP header.
func (c *Conn) theirMSS() int {
	if c.peerMSS != 0 {
		return int(c.peerMSS)
	}
	return c.flow.defaultMSS()
}

// defaultMSS is what a peer takes that does not say (RFC 9293, MUST-15).
func (f *Flow) defaultMSS() int {
	if f.Local.Is4() {
		return defaultMSS4
	}
	return defaultMSS6
}

// sizeSegments derives the payload of a full segment from path and peer.
func (c *Conn) sizeSegments() {
	m := int(c.pathMTU) - c.flow.headerLen() - headerLen
	m = max(min(m, c.theirMSS()), minSendMSS)
	if c.timestamps {
		m -= timestampsLen
	}
	c.snd.mss = uint16(m)
	c.cc.mss = uint32(m)
	if c.cc.cwnd > 0 && c.cc.cwnd < c.cc.mss {
		c.cc.set(c.cc.mss) // it never is less than a segment, also when segments grow
	}
}

// unsent returns the bytes that were never transmitted.
func (c *Conn) unsent() int {
	switch {
	case c.snd.finSent:
		return 0
	case c.state == SynSent || c.state == SynReceived && c.fast&fastPassive == 0:
		return int(c.snd.buf.len) // SND.NXT stands at the SYN
	}
	return c.snd.buf.end().Sub(c.snd.nxt)
}

// tsNow is the timestamp clock towards the peer of f: milliseconds, with the peer's offset.
func (t *Table) tsNow(now Time, f *Flow) uint32 {
	return uint32(now/Time(Millisecond)) + t.secret.timestampOffset(f)
}

// tsNow is the timestamp clock of c.
func (c *Conn) tsNow(now Time) uint32 { return uint32(now/Time(Millisecond)) + c.tsOffset }
