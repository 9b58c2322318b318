package tcp

import (
	"unsafe"

	"tcpd/ip"
)

// half is a connection in SYN-RECEIVED after a passive open: what is needed to answer the SYN and to recognise the end of
// the handshake, and no buffers (attack class H01).
type half struct {
	flow       Flow
	irs, iss   Seq
	tsRecent   uint32
	sentAt     Time   // of the last SYN-ACK
	challenged uint32 // ms, when the last challenge was sent; 0: never
	listener   ListenerID
	generation uint32
	buffer     int32 // ReceiveBuffer when the SYN came: the answer promises a window and a scale
	mss        uint16
	window     uint16 // of the SYN: not scaled (RFC 7323, section 2.2)
	scale      uint8
	hasScale   bool
	timestamps bool
	sack       bool
	fast       bool // a cookie is to be given (RFC 7413)
	ecn        bool // the peer asks, and we agree
	live       bool
	held       bool // waits for the application's decision
	attempt    bool // the application decided; it gets the connection by its attempt
	answer     bool // a SYN-ACK is due
	queued     bool
	again      bool // the SYN-ACK was sent more than once
	turnedAway bool // the handshake was complete but for room here
	retries    uint8
}

// halfSize is what a half-open connection takes, with its timer and its place among the flows.
const halfSize = int(unsafe.Sizeof(half{})+unsafe.Sizeof(wheelEntry{})) + placeSize

// listen handles a SYN in LISTEN (RFC 9293, section 3.10.7.2). Data and FIN that come with it are not acknowledged; the
// peer sends them again (attack class H11).
func (t *Table) listen(now Time, l *listener, f *Flow, s *segment) Drop {
	switch {
	case f.Local == f.Remote && f.LocalPort == f.RemotePort:
		return DropFlags
	case l.full():
		return DropBacklog
	case t.halvesFull():
		return DropHalfOpen
	}
	return t.expect(now, l, f, s)
}

// expect makes the half-open record of a SYN, which is answered unless the application wants to decide first.
func (t *Table) expect(now Time, l *listener, f *Flow, s *segment) Drop {
	switch {
	case t.connsFull():
		return DropConnections
	case t.exhausted() || !t.cfg.Memory.Charge(halfSize):
		return DropMemory
	}
	i := t.halves.get()
	h := t.halves.at(i)
	generation := h.generation
	*h = l.half(now, t, f, s)
	h.generation, h.live = generation+1, true
	h.fast = s.opts.hasFastOpen && l.fast()
	t.count(0, 1)
	t.enter(f, makeRef(refHalf, i))
	if l.opts.Hold {
		h.held = true
		t.halfWheel.schedule(i, now.Add(heldTimeout))
		l.attempts.push(attemptID(i, h))
		t.acceptable(l, EventAttempt)
		return DropNone
	}
	t.answerSyn(now, i, h)
	return DropNone
}

// half is what a SYN that arrived tells.
func (l *listener) half(now Time, t *Table, f *Flow, s *segment) half {
	return half{
		flow: *f, irs: s.seq, iss: t.secret.isn(now, f), tsRecent: s.opts.tsVal, listener: t.id(l),
		mss: s.opts.mss, window: s.window, scale: s.opts.scale, hasScale: s.opts.hasScale,
		timestamps: s.opts.hasTimestamps, sack: s.opts.sackPermitted, buffer: int32(l.opts.Options.ReceiveBuffer),
		ecn: l.opts.Options.ECN != ECNOff && s.asksECN(),
	}
}

// answerSyn sends the SYN-ACK and waits for its acknowledgement.
func (t *Table) answerSyn(now Time, i uint32, h *half) {
	h.answer = true
	t.halfWheel.schedule(i, now.Add(initialRTO<<h.retries))
	if !h.queued {
		h.queued = true
		t.turns.push(turn{half: true, index: i})
	}
}

// expireHalf sends the SYN-ACK again, or gives up.
func (t *Table) expireHalf(now Time, i uint32) {
	h := t.halves.at(i)
	switch {
	case !h.live:
	case h.held:
		t.counters.HeldTimeouts++
		t.dropHalf(i, h)
	case h.retries >= synAckRetries:
		t.counters.HalfOpenTimeouts++
		t.giveUpHalf(i, h)
	default:
		h.retries++
		t.counters.Retransmits++
		t.answerSyn(now, i, h)
	}
}

// giveUpHalf forgets a half-open connection that nobody here will complete. A peer that was turned away takes itself for
// connected, and may have nothing to say that would tell it otherwise (N8).
func (t *Table) giveUpHalf(i uint32, h *half) {
	if h.turnedAway {
		t.reply(t.markedHalf(h, reply{seq: h.iss + 1, ack: h.irs + 1, flags: RST | ACK}))
	}
	t.dropHalf(i, h)
}

// dropHalf forgets a half-open connection.
func (t *Table) dropHalf(i uint32, h *half) {
	if h.held || h.attempt {
		t.events = append(t.events, Event{Kind: EventAttemptDone, Attempt: attemptID(i, h)})
	}
	t.leave(&h.flow, makeRef(refHalf, i))
	t.freeHalf(i, h)
}

func (t *Table) freeHalf(i uint32, h *half) {
	t.halfWheel.cancel(i)
	h.live, h.queued = false, false
	t.count(0, -1)
	t.cfg.Memory.Release(halfSize)
	t.halves.put(i)
}

// dropHalves forgets the half-open connections of a listener that ends.
func (t *Table) dropHalves(id ListenerID) {
	for i := range t.halves.next {
		if h := t.halves.at(i); h.live && h.listener == id {
			t.giveUpHalf(i, h)
		}
	}
}

// emitHalf builds a SYN-ACK.
func (t *Table) emitHalf(now Time, i uint32, out *ip.Outgoing) bool {
	h := t.halves.at(i)
	if !h.live || !h.queued {
		return false
	}
	h.queued = false
	if !h.answer {
		return false
	}
	h.again = h.sentAt != 0
	h.answer, h.sentAt = false, now
	t.buildSynAck(now, h, t.tsNow(now, &h.flow), out)
	return true
}

// buildSynAck builds the answer to a SYN, with our timestamp tsVal.
func (t *Table) buildSynAck(now Time, h *half, tsVal uint32, out *ip.Outgoing) {
	w := &t.options
	w.n = 0
	w.mss(t.ourMSS(&h.flow))
	if h.hasScale {
		w.windowScale(windowScale(int(h.buffer)))
	}
	if h.sack {
		w.sackPermitted()
	}
	if h.timestamps {
		w.timestamps(tsVal, h.tsRecent)
	}
	if h.fast {
		t.offerFastOpen(now, &h.flow)
	}
	o := &t.listeners[h.listener].opts.Options
	flags := SYN | ACK
	if h.ecn {
		flags |= ECE
	}
	t.build(&header{
		flow: &h.flow, seq: h.iss, ack: h.irs + 1, flags: flags, window: synWindow(int(h.buffer)), options: w.bytes(),
		tos: o.TrafficClass, ttl: o.TTL,
	}, nil, 0, out)
}

// synWindow is the window of a SYN, which is never scaled.
func synWindow(buffer int) uint16 { return uint16(min(initialBuffer, buffer, 65535)) }

// ourMSS is the largest segment payload we can take (RFC 9293, section 3.7.1).
func (t *Table) ourMSS(f *Flow) uint16 {
	return uint16(min(max(t.cfg.MTU-f.headerLen()-headerLen, minSendMSS), 65535))
}

// arriveHalf handles a segment in SYN-RECEIVED (RFC 9293, section 3.10.7.4).
func (t *Table) arriveHalf(now Time, i uint32, s *segment) Drop {
	h := t.halves.at(i)
	wnd := Seq(synWindow(int(h.buffer)))
	switch {
	case s.flags.has(RST):
		return t.resetHalf(now, i, h, s, wnd)
	case h.held:
		return DropHeld
	case s.flags.has(SYN) && !s.flags.has(ACK) && s.seq == h.irs:
		// The SYN again: our answer may be lost. The timer still bounds how often we answer without being asked. A newer
		// timestamp is echoed (RFC 7323, section 4.3, (2)).
		if h.timestamps && s.opts.hasTimestamps && int32(s.opts.tsVal-h.tsRecent) > 0 {
			h.tsRecent = s.opts.tsVal
		}
		h.ecn = h.ecn && s.asksECN() // who asks no more has fallen back, because of the path
		t.answerSyn(now, i, h)
		return DropDuplicate
	case s.seq.Less(h.irs+1) || (h.irs + 1 + wnd).Less(s.seq) || s.flags.has(SYN):
		t.challengeHalf(now, h)
		return DropSequence
	case h.timestamps && s.opts.hasTimestamps && int32(s.opts.tsVal-h.tsRecent) < 0:
		t.challengeHalf(now, h)
		return DropPAWS
	case !s.flags.has(ACK):
		return DropNoAck
	case s.ack != h.iss+1:
		t.reset(now, &h.flow, s)
		return DropHandshakeAck
	}
	return t.establish(now, i, h, s)
}

// resetHalf: only a RST at exactly RCV.NXT ends the attempt (RFC 5961, section 3).
func (t *Table) resetHalf(now Time, i uint32, h *half, s *segment, wnd Seq) Drop {
	switch {
	case s.seq == h.irs+1:
		t.counters.ResetsIn++
		t.dropHalf(i, h)
		return DropNone
	case h.irs.Less(s.seq) && s.seq.Less(h.irs+1+wnd) && !h.held:
		t.challengeHalf(now, h)
		return DropResetWindow
	}
	return DropSequence
}

// offered is the window that the peer knows of: that of the SYN-ACK, or of a challenge, which is scaled and rounded up so that the
// right edge does not move left. From there the connection goes on.
func (h *half) offered() uint32 {
	w := uint32(synWindow(int(h.buffer)))
	if h.hasScale && h.challenged != 0 {
		s := windowScale(int(h.buffer))
		w = (w + 1<<s - 1) >> s << s
	}
	return w
}

func (t *Table) challengeHalf(now Time, h *half) {
	ms := uint32(now / Time(Millisecond))
	if h.challenged != 0 && ms-h.challenged < uint32(invalidInterval/Millisecond) {
		return
	}
	h.challenged = max(ms, 1)
	t.counters.ChallengeAcks++
	window := h.offered()
	if h.hasScale {
		window >>= windowScale(int(h.buffer))
	}
	t.reply(t.markedHalf(h, reply{
		seq: h.iss + 1, ack: h.irs + 1, flags: ACK, window: uint16(window),
		hasTS: h.timestamps, tsVal: t.tsNow(now, &h.flow), tsEcr: h.tsRecent,
	}))
}

// establish turns a half-open record into a connection; the segment that completed the handshake is then processed as any.
func (t *Table) establish(now Time, i uint32, h *half, s *segment) Drop {
	l := &t.listeners[h.listener]
	h.turnedAway = true
	if !h.attempt && l.full() {
		return DropBacklog
	}
	c, d := t.open(now, l, h)
	if d != DropNone {
		return d
	}
	t.established(c)
	if h.attempt {
		t.events = append(t.events, Event{Kind: EventAttemptDone, Attempt: attemptID(i, h), Conn: c})
	} else {
		t.offer(l, c)
	}
	t.freeHalf(i, h)
	return t.arriveConn(now, c, s)
}

// offer puts a connection into the queue of its listener.
func (t *Table) offer(l *listener, c *Conn) {
	c.listener, c.pending = t.id(l), true
	l.accepted.push(c.slot)
	t.acceptable(l, EventAcceptable)
}

// open makes the connection of a handshake; the caller sets its state.
func (t *Table) open(now Time, l *listener, h *half) (*Conn, Drop) {
	o := l.opts.Options
	o.ReceiveBuffer = int(h.buffer)
	c, err := t.newConn(now, &h.flow, o)
	if err != nil {
		if err == ErrMemory {
			return nil, DropMemory
		}
		return nil, DropConnections
	}
	c.start(h.iss)
	c.tsRecent, c.tsRecentAt = h.tsRecent, now
	c.negotiated(&options{
		mss: h.mss, scale: h.scale, hasScale: h.hasScale, sackPermitted: h.sack, hasTimestamps: h.timestamps,
	}, true)
	c.ecn = agreed(h.ecn, false)
	c.peerStarts(h.irs, h.offered())
	c.snd.nxt, c.snd.una = h.iss+1, h.iss+1
	c.snd.small = h.iss + 1
	c.snd.wnd, c.snd.maxWnd = uint32(h.window), uint32(h.window)
	c.snd.wl1, c.snd.wl2 = h.irs, h.iss+1
	if !h.again { // Karn: who knows which one it answers
		t.measureHandshake(c, h.sentAt)
	}
	t.startSearch(now, c)
	c.stats.retransmits = uint32(h.retries)
	c.startSending(now, int(h.retries))
	t.counters.Accepted++
	if h.ecn {
		t.counters.ECNNegotiated++
	}
	return c, DropNone
}

func (t *Table) established(c *Conn) {
	t.setState(c, Established)
	t.armKeepAlive(c)
}

func attemptID(i uint32, h *half) AttemptID { return AttemptID(h.generation)<<32 | AttemptID(i) }

// heldHalf returns the record of an attempt that still waits, or nil.
func (t *Table) heldHalf(id AttemptID) *half {
	if h := t.attemptHalf(id); h != nil && h.held {
		return h
	}
	return nil
}

// attemptHalf returns the record of an attempt that is held, or accepted and not yet done.
func (t *Table) attemptHalf(id AttemptID) *half {
	if i := uint32(id); i < t.halves.next {
		if h := t.halves.at(i); h.live && (h.held || h.attempt) && attemptID(i, h) == id {
			return h
		}
	}
	return nil
}

// AcceptAttempt is an application call: it answers the SYN of a held attempt. The connection, or the news that it failed,
// comes with EventAttemptDone. It returns false when the attempt is over.
func (t *Table) AcceptAttempt(now Time, id AttemptID) bool {
	h := t.heldHalf(id)
	if h == nil {
		return false
	}
	h.held, h.attempt = false, true
	t.answerSyn(now, uint32(id), h)
	return true
}

// RejectAttempt is an application call: it refuses an attempt that is held, or accepted and not yet done, with RST. No
// EventAttemptDone follows.
func (t *Table) RejectAttempt(_ Time, id AttemptID) {
	h := t.attemptHalf(id)
	if h == nil {
		return
	}
	r := reply{flags: RST | ACK, ack: h.irs + 1}
	if h.attempt { // the peer may have our SYN-ACK
		r.seq = h.iss + 1
	}
	h.held, h.attempt = false, false
	t.reply(t.markedHalf(h, r))
	t.dropHalf(uint32(id), h)
}

// DropAttempt is an application call: it forgets a held attempt without an answer; the peer's next SYN is a new one.
func (t *Table) DropAttempt(id AttemptID) {
	if h := t.heldHalf(id); h != nil {
		h.held = false
		t.dropHalf(uint32(id), h)
	}
}
