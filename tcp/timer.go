package tcp

// timer is a kind of deadline. A connection has one deadline of each kind, and one entry in the wheel for the earliest of
// them. Moving a deadline to a later time costs a store: the wheel calls at the old time and is put right then.
type timer uint8

const (
	timerProbe      timer = iota // RFC 8985, section 7: goes before a retransmission time-out of the same instant
	timerRetransmit              // RFC 6298
	timerPersist                 // zero-window probe and silly-window override
	timerDelayedAck
	timerReorder // RFC 8985, section 6.2
	timerPace
	timerKeepAlive
	timerFinWait2
	numTimers
)

func (t *Table) setTimer(c *Conn, k timer, when Time) {
	c.deadlines[k] = when
	if c.wake == 0 || when < c.wake {
		c.wake = when
		t.wheel.schedule(c.slot, when)
	}
}

func (c *Conn) stopTimer(k timer) { c.deadlines[k] = 0 }

func (c *Conn) stopTimers() { c.deadlines = [numTimers]Time{} }

// Deadline returns when Advance has work next, Never if nothing is waiting. It may be early.
func (t *Table) Deadline() Time {
	return min(t.wheel.next(), t.halfWheel.next(), t.waits.next())
}

// Overdue is an event in: it reports whether a timer has passed that takes the peer's silence for a loss. Its answer may be there and
// not read yet: who runs late reads first what has arrived, and then calls Advance, which has to follow in any case.
func (t *Table) Overdue(now Time) bool {
	t.due = t.wheel.advance(now, t.due)
	for _, slot := range t.due {
		if c := t.conn(slot); c.live && c.overdue(now) {
			return true
		}
	}
	return t.halfWheel.next() <= now
}

func (c *Conn) overdue(now Time) bool {
	for _, k := range [...]timer{timerProbe, timerRetransmit, timerPersist, timerReorder} {
		if d := c.deadlines[k]; d != 0 && d <= now {
			return true
		}
	}
	return false
}

// Advance is an event in: it runs the timers up to now.
func (t *Table) Advance(now Time) {
	t.due = t.wheel.advance(now, t.due) // after what Overdue took out
	for _, slot := range t.due {
		if c := t.conn(slot); c.live {
			t.expire(now, c)
		}
	}
	t.due = t.halfWheel.advance(now, t.due[:0])
	for _, i := range t.due {
		t.expireHalf(now, i)
	}
	t.due = t.due[:0]
	t.expireTimeWaits(now)
	t.reclaim(now)
	if t.paths.order.n > 0 {
		t.paths.forget(now)
	}
}

var expiry = [numTimers]func(*Table, Time, *Conn){
	timerProbe:      (*Table).probeTimeout,
	timerRetransmit: (*Table).retransmitTimeout,
	timerPersist:    (*Table).persistTimeout,
	timerDelayedAck: (*Table).delayedAckTimeout,
	timerReorder:    (*Table).reorderTimeout,
	timerPace:       (*Table).paceTimeout,
	timerKeepAlive:  (*Table).keepAliveTimeout,
	timerFinWait2:   (*Table).finWait2Expired,
}

// expire runs the deadlines of c that have passed and schedules the next.
func (t *Table) expire(now Time, c *Conn) {
	c.wake = 0
	t.checkDry(now, c)
	for k := range numTimers {
		if d := c.deadlines[k]; d != 0 && d <= now {
			c.deadlines[k] = 0
			c.stalled = c.stalled.Add(now.Sub(d)) // a pause of the whole machine is no silence of the peer's (attack class T08)
			expiry[k](t, now, c)
			if !c.live || c.detached {
				return
			}
		}
	}
	next := Never
	for _, d := range c.deadlines {
		if d != 0 {
			next = min(next, d)
		}
	}
	if next != Never && (c.wake == 0 || next < c.wake) {
		c.wake = next
		t.wheel.schedule(c.slot, next)
	}
}

// retransmitTimeout is RFC 6298, section 5: back off, and take what is in flight for lost (RFC 5681, section 3.1).
func (t *Table) retransmitTimeout(now Time, c *Conn) {
	if c.ecn.hold && c.flight.empty() {
		c.ecn.hold = false
		t.want(c)
		return
	}
	if t.givesUp(now, c) {
		t.giveUp(c)
		return
	}
	if c.retries = min(c.retries, 254) + 1; c.retries == reportRetries { // "... notify the application" (RFC 9293, SHLD-9)
		t.signal(c, EventReport)
	}
	c.rtt.backoff = min(c.rtt.backoff+1, 16)
	c.stats.timeouts++
	t.counters.Timeouts++
	if synchronized.has(c.state) {
		c.snd.longest = maxSuper / longestUnit // longer ones may be what somebody on the way drops
		t.suspectBlackHole(now, c)
		t.recoverFromTimeout(now, c)
	} else {
		c.synDue = true
	}
	t.setTimer(c, timerRetransmit, c.patience(now))
	t.want(c)
}

// patience returns when to try again: after a retransmission time-out, or when the user timeout ends, if that is earlier (as
// Linux, tcp_clamp_rto_to_user_timeout).
func (c *Conn) patience(now Time) Time {
	return max(min(now.Add(c.rtt.rto()), c.stalled.Add(c.opts.UserTimeout)), now.Add(Millisecond))
}

// givesUp decides whether a connection without progress has waited long enough. The user timeout runs from the first
// retransmission on, as in Linux, and with a SYN from the SYN on.
func (t *Table) givesUp(now Time, c *Conn) bool {
	if c.retries == 0 && synchronized.has(c.state) {
		c.stalled = now
	}
	over := now.Sub(c.stalled) >= c.opts.UserTimeout
	switch {
	case !synchronized.has(c.state):
		return over || c.retries >= synRetries || !c.active && c.retries >= synAckRetries
	case c.released && (c.retries >= orphanRetries || c.rtt.rto() >= maxRTO):
		return true // nobody would hear of it, and a peer that keeps its window closed must not hold it for ever (class E10)
	}
	return over && c.retries > 0
}

// giveUp ends a connection whose peer does not answer. Where the network has said why, that is the reason (RFC 1122, section
// 4.2.3.9; as in Linux).
func (t *Table) giveUp(c *Conn) {
	t.counters.TimedOut++
	if c.soft.err() == ErrUnreachable {
		t.terminate(c, ErrUnreachable)
		return
	}
	t.terminate(c, ErrTimeout)
}

// persistTimeout probes a closed window (RFC 9293, section 3.8.6.1), or sends a small segment that the sender's silly-window
// avoidance held back for too long (section 3.8.6.2.1).
func (t *Table) persistTimeout(now Time, c *Conn) {
	if (c.corked || c.goesOn()) && c.snd.windowRoom() > 0 {
		c.uncork()
		t.want(c)
		return
	}
	if t.givesUp(now, c) {
		t.giveUp(c)
		return
	}
	c.retries = min(c.retries, 254) + 1
	c.rtt.backoff = min(c.rtt.backoff+1, 16)
	if c.snd.windowRoom() > 0 {
		c.force = true
	} else {
		c.probe = true
		t.counters.ZeroWindowProbes++
	}
	next := now.Add(c.rtt.rto())
	if c.retries > 1 { // the last probe was not answered
		next = c.patience(now)
	}
	t.setTimer(c, timerPersist, next)
	t.want(c)
}

func (t *Table) delayedAckTimeout(_ Time, c *Conn) {
	c.rcv.interactive = false // no answer came that could have taken it along
	c.ackNow = true
	t.want(c)
}

// keepAliveTimeout probes a peer that was silent for long (RFC 9293, section 3.8.4).
func (t *Table) keepAliveTimeout(now Time, c *Conn) {
	k := c.opts.KeepAlive
	if !k.Enabled || !synchronized.has(c.state) {
		return
	}
	if silent := now.Sub(c.heard); silent < k.Idle {
		t.setTimer(c, timerKeepAlive, c.heard.Add(k.Idle))
		return
	}
	if !c.flight.empty() || c.unsent() > 0 {
		t.setTimer(c, timerKeepAlive, now.Add(k.Interval)) // the retransmission or persist timer is at it already
		return
	}
	if int(c.keepProbes) >= k.Count {
		t.giveUp(c)
		return
	}
	c.keepProbes++
	c.probe = true
	t.counters.KeepAliveProbes++
	t.setTimer(c, timerKeepAlive, now.Add(k.Interval))
	t.want(c)
}

// finWait2Expired ends the wait for the FIN of a peer whose stream nobody reads.
func (t *Table) finWait2Expired(_ Time, c *Conn) {
	if c.state == FinWait2 && c.released {
		t.counters.FinWait2Timeouts++
		t.terminate(c, nil)
	}
}
