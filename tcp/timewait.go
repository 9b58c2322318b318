package tcp

import "unsafe"

// timeWait is what is left of a connection in TIME-WAIT, a cache line of it.
type timeWait struct {
	flow     Flow
	sndNxt   Seq
	rcvNxt   Seq
	tsRecent uint32
	expires  Time
	window   uint16 // the field of the last acknowledgement
	tos, ttl uint8
	link     uint32 // the record that was made next, by its number plus one, and flags
}

// The flags of link.
const (
	waitLive       = 1 << (31 - iota)
	waitTimestamps // in use
	waitLonger     // the peer spoke meanwhile: it waits once more when its turn comes
	waitLink       = 1<<29 - 1
)

func (w *timeWait) is(flag uint32) bool { return w.link&flag != 0 }

// timeWaitSize is what a record takes, with its place among the flows; its timer is the list.
const timeWaitSize = int(unsafe.Sizeof(timeWait{})) + placeSize

// timeWaits keeps the records in a list, in the order in which they were made, which is nearly that in which they end. Those
// that have ended before stay in it until their turn comes, and are charged and bounded as long. The first one is never
// waitLonger, so that its time is the next.
type timeWaits struct {
	records     slab[timeWait]
	first, last uint32    // numbers plus one; 0: none
	n           int       // that live
	kept        int       // in the list
	answered    [256]Time // when a segment that says nothing is answered again, by number of the record, modulo
}

func (l *timeWaits) next() Time {
	if l.first == 0 {
		return Never
	}
	return l.records.at(l.first - 1).expires
}

// push appends record i.
func (l *timeWaits) push(i uint32) {
	if l.last == 0 {
		l.first = i + 1
	} else {
		l.records.at(l.last - 1).link |= i + 1
	}
	l.last = i + 1
}

// pop takes the first record out of the list.
func (l *timeWaits) pop() uint32 {
	i := l.unlink()
	for l.first != 0 && l.records.at(l.first-1).is(waitLonger) {
		l.again(l.unlink())
	}
	return i
}

func (l *timeWaits) unlink() uint32 {
	i := l.first - 1
	w := l.records.at(i)
	l.first = w.link & waitLink
	if l.first == 0 {
		l.last = 0
	}
	w.link &^= waitLink
	return i
}

// again puts a record whose time was prolonged behind the others.
func (l *timeWaits) again(i uint32) {
	l.records.at(i).link &^= waitLonger
	l.push(i)
}

// prolong lets record i wait until a later time.
func (l *timeWaits) prolong(i uint32, expires Time) {
	w := l.records.at(i)
	w.expires = expires
	w.link |= waitLonger
	if l.first == i+1 {
		l.again(l.pop())
	}
}

// enterTimeWait ends the life of a connection whose both halves are closed; a small record answers for it from now on.
func (t *Table) enterTimeWait(now Time, c *Conn) {
	t.setState(c, TimeWait)
	t.detach(c)
	c.stopTimers()
	if t.waits.kept >= t.cfg.TimeWait { // attack class T02
		t.dropOldestTimeWait()
	}
	w := timeWait{
		flow: c.flow, sndNxt: c.snd.nxt, rcvNxt: c.rcv.nxt, tsRecent: c.tsRecent,
		expires: now.Add(timeWaitLength), window: c.advertise(), tos: c.opts.TrafficClass, ttl: c.opts.TTL, link: waitLive,
	}
	if c.timestamps {
		w.link |= waitTimestamps
	}
	if c.ackNow {
		t.timeWaitAck(now, &w)
	}
	if t.cfg.Memory.Charge(timeWaitSize) {
		i := t.waits.records.get()
		*t.waits.records.at(i) = w
		t.waits.n++
		t.waits.kept++
		t.waits.push(i)
		t.enter(&c.flow, makeRef(refTimeWait, i))
	} else {
		t.counters.TimeWaitRefused++
	}
	t.ended(c)
}

func (t *Table) timeWaitAck(now Time, w *timeWait) {
	t.reply(reply{
		flow: w.flow, seq: w.sndNxt, ack: w.rcvNxt, flags: ACK, window: w.window, tos: w.tos, ttl: w.ttl,
		hasTS: w.is(waitTimestamps), tsVal: t.tsNow(now, &w.flow), tsEcr: w.tsRecent,
	})
}

func (t *Table) expireTimeWaits(now Time) {
	for t.waits.next() <= now {
		t.dropTimeWait()
	}
}

// dropOldestTimeWait makes room. It reports whether the record still lived.
func (t *Table) dropOldestTimeWait() (lived bool) {
	if lived = t.dropTimeWait(); lived {
		t.counters.TimeWaitEvicted++
	}
	return lived
}

// dropTimeWait takes the first record out of the list, and reports whether it still lived.
func (t *Table) dropTimeWait() (lived bool) {
	i := t.waits.pop()
	if lived = t.waits.records.at(i).is(waitLive); lived {
		t.endTimeWait(i)
	}
	t.waits.records.put(i)
	t.waits.kept--
	t.cfg.Memory.Release(timeWaitSize)
	return lived
}

// endTimeWait forgets a record, whose flow may be a new connection's by now. Its number and its memory become free when its
// turn in the list has come.
func (t *Table) endTimeWait(i uint32) {
	w := t.waits.records.at(i)
	t.leave(&w.flow, makeRef(refTimeWait, i))
	w.link &^= waitLive
	t.waits.n--
}

// arriveTimeWait handles a segment in TIME-WAIT (RFC 9293, section 3.10.7.4).
func (t *Table) arriveTimeWait(now Time, i uint32, s *segment) Drop {
	w := t.waits.records.at(i)
	switch {
	case s.flags.has(RST):
		return DropTimeWait // RFC 1337: a RST must not end TIME-WAIT early
	case s.flags.has(SYN) && !s.flags.has(ACK):
		return t.reopen(now, i, s)
	case !s.flags.has(ACK):
		// "If an incoming segment is not acceptable, an acknowledgment should be sent in reply": before its ACK is looked at.
		if s.seq != w.rcvNxt && t.waits.mayAnswer(now, i) {
			t.timeWaitAck(now, w)
		}
		return DropNoAck
	}
	if s.flags.has(FIN) && s.end() == w.rcvNxt {
		// "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart
		// the 2 MSL timeout."
		t.waits.prolong(i, now.Add(timeWaitLength))
	}
	switch {
	case len(s.payload) > 0 || s.flags&FIN != 0:
		t.timeWaitAck(now, w)
	case (s.seq != w.rcvNxt || s.flags&SYN != 0) && t.waits.mayAnswer(now, i):
		t.timeWaitAck(now, w)
	}
	return DropTimeWait
}

// mayAnswer limits the answers to segments that say nothing to two a second, as challenge does: two ends in TIME-WAIT that
// disagree must not go on for ever (attack class E05). Records that share a place share the limit: it costs no byte of theirs.
func (w *timeWaits) mayAnswer(now Time, i uint32) bool {
	at := &w.answered[i%uint32(len(w.answered))]
	if now < *at {
		return false
	}
	*at = now.Add(invalidInterval)
	return true
}

// reopen accepts a new incarnation when its timestamp (RFC 6191, section 2) or its sequence number (RFC 9293, MAY-2, RFC
// 1122, section 4.2.2.13) proves that it is new.
func (t *Table) reopen(now Time, i uint32, s *segment) Drop {
	w := t.waits.records.at(i)
	byTime := w.is(waitTimestamps) && s.opts.hasTimestamps
	newer := w.rcvNxt.Less(s.seq)
	if byTime {
		d := int32(s.opts.tsVal - w.tsRecent)
		newer = d > 0 || d == 0 && newer
	}
	if !newer {
		t.timeWaitAck(now, w)
		return DropTimeWait
	}
	l := t.match(w.flow.Local, w.flow.LocalPort)
	if l == nil {
		t.reset(now, &w.flow, s)
		return DropClosedPort
	}
	if l.full() {
		return DropBacklog
	}
	// There is room among the half-open: this one comes in the place of what it ends, of which there is a bound, and a cookie
	// cannot take the new numbers above the old ones.
	if d := t.expect(now, l, &w.flow, s); d != DropNone {
		return d // nothing came of it: the old record goes on
	}
	// The new sequence numbers have to lie above the old ones, whatever the clock says.
	if h := t.halves.at(t.find(&w.flow).index()); !w.sndNxt.Less(h.iss) {
		h.iss = w.sndNxt + 65537
	}
	t.endTimeWait(i)
	t.counters.TimeWaitReused++
	return DropNone
}
