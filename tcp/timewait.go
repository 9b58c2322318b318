package tcp

import "unsafe"

// timeWait is what is left of a connection in TIME-WAIT.
type timeWait struct {
	flow       Flow
	sndNxt     Seq
	rcvNxt     Seq
	tsRecent   uint32
	tsOffset   uint32
	expires    Time
	live       bool
	timestamps bool
	window     uint16 // the field of the last acknowledgement
	tos, ttl   uint8
}

const timeWaitSize = int(unsafe.Sizeof(timeWait{}))

// timeWaits keeps the records in the order in which they were made, which is nearly that in which they end.
type timeWaits struct {
	records slab[timeWait]
	order   fifo[timeWaitEntry]
	n       int
}

type timeWaitEntry struct {
	index   uint32
	expires Time // when it was queued
}

func (w *timeWaits) next() Time {
	if e, ok := w.order.front(); ok {
		return e.expires
	}
	return Never
}

// enterTimeWait ends the life of a connection whose both halves are closed; a small record answers for it from now on.
func (t *Table) enterTimeWait(now Time, c *Conn) {
	c.setState(TimeWait)
	t.detach(c)
	c.stopTimers()
	if t.waits.n >= t.cfg.TimeWait {
		t.dropOldestTimeWait()
	}
	w := timeWait{
		flow: c.flow, sndNxt: c.snd.nxt, rcvNxt: c.rcv.nxt, tsRecent: c.tsRecent, tsOffset: c.tsOffset,
		expires: now.Add(timeWaitLength), live: true, timestamps: c.timestamps, window: c.advertise(),
		tos: c.opts.TrafficClass, ttl: c.opts.TTL,
	}
	if c.ackNow {
		t.timeWaitAck(now, &w)
	}
	if t.cfg.Memory.Charge(timeWaitSize) {
		i := t.waits.records.get()
		*t.waits.records.at(i) = w
		t.waits.n++
		t.waits.order.push(timeWaitEntry{i, w.expires})
		t.enter(&c.flow, makeRef(refTimeWait, i))
	} else {
		t.counters.TimeWaitRefused++
	}
	t.ended(c)
}

func (t *Table) timeWaitAck(now Time, w *timeWait) {
	t.reply(reply{
		flow: w.flow, seq: w.sndNxt, ack: w.rcvNxt, flags: ACK, window: w.window, tos: w.tos, ttl: w.ttl,
		hasTS: w.timestamps, tsVal: uint32(now/Time(Millisecond)) + w.tsOffset, tsEcr: w.tsRecent,
	})
}

func (t *Table) expireTimeWaits(now Time) {
	for {
		e, ok := t.waits.order.front()
		if !ok || e.expires > now {
			return
		}
		t.waits.order.pop()
		w := t.waits.records.at(e.index)
		switch {
		case !w.live:
			t.waits.records.put(e.index)
		case w.expires > now:
			t.waits.order.push(timeWaitEntry{e.index, w.expires}) // the peer spoke meanwhile
		default:
			t.endTimeWait(e.index)
			t.waits.records.put(e.index)
		}
	}
}

// dropOldestTimeWait makes room at the limit (attack class T02).
func (t *Table) dropOldestTimeWait() {
	for {
		e, ok := t.waits.order.pop()
		if !ok {
			return
		}
		w := t.waits.records.at(e.index)
		live := w.live
		if live {
			t.counters.TimeWaitEvicted++
			t.endTimeWait(e.index)
		}
		t.waits.records.put(e.index)
		if live {
			return
		}
	}
}

// endTimeWait forgets a record, whose flow may be a new connection's by now. Its number becomes free when its entry in the
// order has passed.
func (t *Table) endTimeWait(i uint32) {
	w := t.waits.records.at(i)
	t.leave(&w.flow, makeRef(refTimeWait, i))
	w.live = false
	t.waits.n--
	t.cfg.Memory.Release(timeWaitSize)
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
		return DropNoAck
	}
	if s.flags.has(FIN) && s.end() == w.rcvNxt {
		// "The only thing that can arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart
		// the 2 MSL timeout."
		w.expires = now.Add(timeWaitLength)
	}
	if len(s.payload) > 0 || s.flags&(FIN|SYN) != 0 || s.seq != w.rcvNxt {
		t.timeWaitAck(now, w)
	}
	return DropTimeWait
}

// reopen accepts a new incarnation when its timestamp (RFC 6191, section 2) or its sequence number (RFC 9293, MAY-2, RFC
// 1122, section 4.2.2.13) proves that it is new.
func (t *Table) reopen(now Time, i uint32, s *segment) Drop {
	w := t.waits.records.at(i)
	byTime := w.timestamps && s.opts.hasTimestamps
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
	if d := t.listen(now, l, &w.flow, s); d != DropNone {
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
