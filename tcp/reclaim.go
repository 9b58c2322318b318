package tcp

// What is given up when the budget is exhausted, in this order (attack classes H14 and E10): first who misses it least.
type sacrifice uint8

const (
	sacrificeOrphan     sacrifice = iota // given up by the application, kept to deliver what is left
	sacrificeTimeWait                    // the oldest
	sacrificeZeroWindow                  // of a peer that takes nothing for zeroWindowPatience
	sacrificeIdle                        // the connection of those looked at that was silent longest
	numSacrifices
)

const (
	reclaimInterval    = Millisecond
	reclaimScan        = 512 // records that are looked at in one turn
	reclaimMost        = 32  // that are given up in one turn
	zeroWindowPatience = 30 * Second
	idlePatience       = 10 * Second
)

// reclaimer is how far the search for something to give up has come: one kind after the other, each through all records.
type reclaimer struct {
	kind   sacrifice
	cursor uint32
	found  bool // something of this kind, since its search began
	after  Time // not before
}

// reclaim gives up some of what matters least while the budget is exhausted, a bounded piece of work at a time. It is called
// when nothing else is done with a connection.
func (t *Table) reclaim(now Time) {
	r := &t.reclaimer
	if !t.exhausted() {
		*r = reclaimer{after: r.after}
		return
	}
	if now < r.after {
		return
	}
	r.after = now.Add(reclaimInterval)
	if r.kind == sacrificeTimeWait {
		for n := 0; n < reclaimMost && t.waits.kept > 0; n++ {
			if t.dropOldestTimeWait() {
				t.counters.Reclaimed[r.kind]++
			}
		}
		if t.waits.kept == 0 {
			r.next()
		}
		return
	}
	t.reclaimConns(now)
}

// next goes on with the next kind.
func (r *reclaimer) next() {
	*r = reclaimer{kind: (r.kind + 1) % numSacrifices, after: r.after}
}

// reclaimConns looks at some of the connections.
func (t *Table) reclaimConns(now Time) {
	r := &t.reclaimer
	var idlest *Conn
	for n, given := 0, 0; n < reclaimScan && given < reclaimMost && r.cursor < t.conns.next; n++ {
		c := t.conn(r.cursor)
		r.cursor++
		switch {
		case !c.live || c.detached || c.pinned != 0:
		case r.kind == sacrificeIdle:
			if idle := now.Sub(c.heard); idle >= idlePatience && (idlest == nil || c.heard < idlest.heard) {
				idlest = c
			}
		case c.isSacrifice(now, r.kind):
			t.offerUp(c)
			given++
			r.found = true
		}
	}
	if idlest != nil {
		t.offerUp(idlest)
		r.found = true
	}
	if r.cursor < t.conns.next {
		return
	}
	r.cursor = 0
	if !r.found {
		r.next()
	}
	r.found = false
}

func (c *Conn) isSacrifice(now Time, k sacrifice) bool {
	if k == sacrificeOrphan {
		return c.released
	}
	return synchronized.has(c.state) && c.unsent() > 0 && c.snd.windowRoom() <= 0 && now.Sub(c.lastSent) >= zeroWindowPatience
}

// offerUp resets c for want of memory. Its application is told, and what it had not read is gone.
func (t *Table) offerUp(c *Conn) {
	t.counters.Reclaimed[t.reclaimer.kind]++
	if synchronized.has(c.state) || c.state == SynReceived {
		t.reply(c.marked(reply{seq: c.snd.acceptable(), ack: c.rcv.nxt, flags: RST | ACK}))
	}
	c.rcv.buf.len = 0
	c.rcv.buf.clear(&t.pool)
	t.fail(c, ErrMemory)
}
