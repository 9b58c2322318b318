package stack

import (
	"sync"
	"sync/atomic"

	"tcpd/ip"
	"tcpd/tcp"
)

const (
	// burst is what a reader sends of one shard before it looks for arrivals again: a few super-packets. Small exchanges do
	// not wait behind more than that.
	burst = 256 << 10
	// copyLimit is what one Read or Write copies under the lock, about 2 us.
	copyLimit = 64 << 10
)

// shard owns the connections of one queue. Whoever has work for them takes the lock: the reader of any queue, the timer, an
// application. Whoever has changed something sends what follows from it before he leaves.
//
// A shard writes to its own queue only, whatever queue the packets came in by: a kernel sends a flow to the queue that last
// wrote it.
type shard struct {
	stack *Stack
	index int

	// readers and others count who waits for the lock. Whoever is sending leaves the rest to them: every section ends with
	// sending what is there. Readers do not wait behind more than a packet, others behind a burst.
	readers, others atomic.Int32

	mu        sync.Mutex
	table     *tcp.Table
	now       tcp.Time // latest time told to the table
	timer     Timer
	armed     tcp.Time // when the timer fires at the latest; Never: it does not
	closed    bool
	conns     []*Conn // by Slot; nil: nobody holds it
	listeners map[tcp.ListenerID]*Listener
	attempts  map[tcp.AttemptID]*Attempt
	orphans   []*tcp.Conn
	reports   map[*Conn]chan struct{} // of those that asked
	out       ip.Outgoing

	packetsOut, bytesOut, writeErrors uint64
}

func newShard(s *Stack, index int, table *tcp.Table) *shard {
	return &shard{
		stack: s, index: index, table: table, armed: tcp.Never,
		listeners: make(map[tcp.ListenerID]*Listener),
		attempts:  make(map[tcp.AttemptID]*Attempt),
	}
}

// lock begins a section in which the table is used, and returns its time. The section ends with leave, always.
func (sh *shard) lock() tcp.Time {
	now := sh.stack.now()
	if !sh.mu.TryLock() {
		sh.others.Add(1)
		sh.mu.Lock()
		sh.others.Add(-1)
	}
	return sh.at(now)
}

// lockAt is lock for a reader: its time is that of the batch. It may give the lock up at once, and comes back at the end of
// its turn for leaveBurst.
func (sh *shard) lockAt(now tcp.Time) tcp.Time {
	if !sh.mu.TryLock() {
		sh.readers.Add(1)
		sh.mu.Lock()
		sh.readers.Add(-1)
	}
	return sh.at(now)
}

// at keeps the table's time from going back: who read the clock first need not get the lock first.
func (sh *shard) at(now tcp.Time) tcp.Time {
	sh.now = max(sh.now, now)
	return sh.now
}

// leave ends a section: segments go out, the timer follows, and once the lock is free, those who waited wake. Between bursts
// arrivals are looked for, so that a small exchange does not wait until all is sent that could be.
func (sh *shard) leave(now tcp.Time) {
	for {
		var w wakes
		before, more := sh.bytesOut, true
		for more && sh.readers.Load() == 0 && sh.bytesOut-before < burst {
			more = sh.send(now)
		}
		sent := sh.bytesOut - before
		others := sh.readers.Load() + sh.others.Load()
		sh.settle(now, &w)
		sh.mu.Unlock()
		w.send()
		if sent >= guestAfter {
			sh.stack.guests[sh.index].read()
		}
		if !more || others > 0 { // who waits goes on
			return
		}
		now = sh.lock()
	}
}

// leaveBurst is leave for a reader: it sends a bounded amount and reports whether there is more. Who waits is added to w.
func (sh *shard) leaveBurst(now tcp.Time, w *wakes) (more bool) {
	before := sh.bytesOut
	more = true
	for more && sh.bytesOut-before < burst {
		more = sh.send(now)
	}
	sh.settle(now, w)
	sh.mu.Unlock()
	return more
}

// send writes the next packet, if there is one.
func (sh *shard) send(now tcp.Time) bool {
	if !sh.table.Poll(now, &sh.out) {
		return false
	}
	sh.packetsOut++
	sh.bytesOut += uint64(sh.out.Len())
	if err := sh.stack.link.Write(sh.index, &sh.out); err != nil {
		sh.writeErrors++
		sh.stack.logWriteError(err)
	}
	return true
}

// settle collects who is to wake and moves the timer.
func (sh *shard) settle(now tcp.Time, w *wakes) {
	sh.collect(w)
	for _, c := range sh.orphans {
		sh.table.Abort(now, c)
	}
	if len(sh.orphans) > 0 {
		sh.orphans = sh.orphans[:0]
		for sh.send(now) {
		}
	}
	if at := sh.table.Deadline(); at < sh.armed && !sh.closed {
		sh.arm(now, at)
	}
	if sh.stack.draining.Load() && sh.idle() {
		w.add(sh.stack.drained)
	}
}

// arm sets the timer. A later deadline leaves it where it is: it fires, finds nothing to do, and is set anew, which is
// cheaper than moving it with every acknowledgement.
func (sh *shard) arm(now, at tcp.Time) {
	sh.armed = at
	if sh.timer == nil {
		sh.timer = sh.stack.clock.AfterFunc(until(now, at), sh.fire)
		return
	}
	sh.timer.Reset(until(now, at))
}

// fire runs when the timer does.
func (sh *shard) fire() {
	now := sh.lock()
	sh.armed = tcp.Never
	if !sh.closed {
		sh.table.Advance(now)
	}
	sh.leave(now)
}

// idle reports that no connection is left; records of TIME-WAIT may be.
func (sh *shard) idle() bool {
	n := sh.table.Len()
	return n.Connections == 0 && n.HalfOpen == 0
}

// adopt makes the runtime's part of a connection. o are the options it was made with.
func (sh *shard) adopt(core *tcp.Conn, o *tcp.Options) *Conn {
	c := &Conn{shard: sh, core: core, flow: core.Flow(), options: o}
	slot := int(core.Slot())
	for slot >= len(sh.conns) {
		sh.conns = append(sh.conns, nil)
	}
	sh.conns[slot] = c
	return c
}

// abandon ends c for the application; the table goes on with it as far as needed. It wakes who waits.
func (sh *shard) abandon(c *Conn, w *wakes) {
	sh.conns[c.core.Slot()] = nil
	delete(sh.reports, c)
	c.core = nil
	c.finish()
	c.read.rouse(w)
	c.write.rouse(w)
	if c.counted {
		sh.stack.sources.close(c.flow.Remote)
	}
}
