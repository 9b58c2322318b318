package tcp

// corkTimeout is how long a segment that is not full waits at most (tcp(7), TCP_CORK).
const corkTimeout = 200 * Millisecond

// SetCork is an application call: while on, only full segments leave, and what is less waits for more, for 200 ms, or for the
// end: several writes become as few segments as can be. Off sends what waits, as far as Nagle's algorithm lets it. On and off
// are TCP_CORK of Linux.
func (t *Table) SetCork(_ Time, c *Conn, on bool) {
	if c.corked && !on {
		c.stopTimer(timerPersist)
		if c.opts.NoDelay {
			c.uncork()
		}
	}
	c.corked = on
	t.want(c)
}

// SetMore is an application call: on says that what was written last goes on at once, or as soon as there is room. Then it need not
// end in a segment that is not full, as with MSG_MORE of Linux. Off has to follow when it does not go on, and lets all leave. A
// connection with nothing to send forgets it.
func (t *Table) SetMore(c *Conn, on bool) {
	if c.busy == &t.idle || !on && !c.more {
		return
	}
	c.more = on
	if !on || c.wantWrite {
		t.want(c)
	}
}

// goesOn: the end of what was written may wait for more. Not so where who writes waits for room, and nothing is under way that
// would make some. Who has room lent to him does not wait: he is filling it.
func (c *Conn) goesOn() bool {
	return c.more && (!c.wantWrite || !c.flight.empty() || c.pinned.has(pinWrite))
}

// uncork lets what waits leave once; the cork stays.
func (c *Conn) uncork() { c.force = c.unsent() > 0 }

// armCork bounds how long the cork holds what is written.
func (t *Table) armCork(now Time, c *Conn) {
	if c.corked && c.unsent() > 0 && c.snd.windowRoom() > 0 && c.deadlines[timerPersist] == 0 && synchronized.has(c.state) {
		t.setTimer(c, timerPersist, now.Add(corkTimeout))
	}
}
