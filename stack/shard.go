package stack

import (
	"sync"

	"tcpd/ip"
	"tcpd/tcp"
)

// shard owns a part of the connections; there is one for each queue. Whoever has work for them takes the lock: the reader of any queue, the timer, an
// application. Whoever has changed something sees to it that what follows from it is sent; see leave.
//
// A shard writes to one queue, whatever queue the packets came in by: a kernel sends a flow to the queue that last wrote it. That
// is its own, while packets leave by all of them (Stack.SetSpread).
type shard struct {
	stack *Stack
	index int

	mu        sync.Mutex
	table     *tcp.Table
	memory    *allowance
	now       tcp.Time // latest time told to the table
	timer     Timer
	armed     tcp.Time // when the timer fires at the latest; Never: it does not
	closed    bool
	conns     []*Conn // by Slot; nil: nobody holds it
	listeners map[tcp.ListenerID]*Listener
	attempts  map[tcp.AttemptID]*Attempt
	orphans   []*tcp.Conn
	served    []*[servedChunk]served // by slot: connections with a handler
	calls     calls
	event     eventConn
	places    []*waiting              // where nobody waits
	reports   map[*Conn]chan struct{} // of those that asked

	sending bool       // somebody sends, and takes along what others leave
	unread  int        // bytes that applications sent since one of them looked for arrivals
	serving bool       // a reader of the link will send what follows from reading
	sent    *sync.Cond // somebody has stopped sending
	out     ip.Outgoing

	packetsOut, bytesOut, writeErrors uint64
}

func newShard(s *Stack, index int, table *tcp.Table, memory *allowance) *shard {
	sh := &shard{
		stack: s, index: index, table: table, memory: memory, armed: tcp.Never,
		listeners: make(map[tcp.ListenerID]*Listener),
		attempts:  make(map[tcp.AttemptID]*Attempt),
	}
	sh.event.shard = sh
	sh.sent = sync.NewCond(&sh.mu)
	return sh
}

// lock begins a section in which the table is used, and returns its time. The section ends with leave, or another one's does
// soon: what follows from it is sent there.
func (sh *shard) lock() tcp.Time { return sh.lockAt(sh.stack.now()) }

// lockAt is lock for who has read the clock: a reader, whose time is that of the batch, and who sends. A reader may give the
// lock up without more, and comes back at the end of its turn for leaveBurst.
func (sh *shard) lockAt(now tcp.Time) tcp.Time {
	sh.mu.Lock()
	return sh.at(now)
}

// at keeps the table's time from going back: who read the clock first need not get the lock first.
func (sh *shard) at(now tcp.Time) tcp.Time {
	sh.now = max(sh.now, now)
	return sh.now
}

// settle moves the timer, and tells Drain when it may be over.
func (sh *shard) settle(now tcp.Time, w *wakes) {
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
		sh.timer = shardTimer(sh.stack.clock, until(now, at), sh.fire)
		return
	}
	sh.timer.Reset(until(now, at))
}

// fire runs when the timer does. On a busy machine the reader may have waited for a processor as long as the timer has: before
// silence is taken for loss, what has arrived is read, and whether the link has become too narrow for what was sent.
func (sh *shard) fire() {
	sh.stack.followMTU()
	now := sh.lock()
	sh.armed = tcp.Never
	if !sh.closed && sh.table.Overdue(now) {
		sh.mu.Unlock()
		for _, g := range sh.stack.guests { // the kernel may have used any of the queues
			g.read()
		}
		now = sh.lock()
	}
	if !sh.closed {
		sh.table.Advance(now)
	}
	sh.leave(now)
}

// queue is where the shard writes.
func (sh *shard) queue() int { return sh.index % sh.stack.Spread() }

// idle reports that no connection is left; records of TIME-WAIT may be.
func (sh *shard) idle() bool {
	n := sh.table.Len()
	return n.Connections == 0 && n.HalfOpen == 0
}

// adopt makes the runtime's part of a connection. It may have failed while nobody held it, and no event tells so again.
func (sh *shard) adopt(core *tcp.Conn) *Conn {
	c := &Conn{shard: sh, core: core, flow: core.Flow(), over: core.Err() != nil}
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
