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

// uncork lets what waits leave once; the cork stays.
func (c *Conn) uncork() { c.force = c.unsent() > 0 }

// armCork bounds how long the cork holds what is written.
func (t *Table) armCork(now Time, c *Conn) {
	if c.corked && c.unsent() > 0 && c.snd.windowRoom() > 0 && c.deadlines[timerPersist] == 0 && synchronized.has(c.state) {
		t.setTimer(c, timerPersist, now.Add(corkTimeout))
	}
}
