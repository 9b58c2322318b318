package stack

import (
	"runtime"
	"sync"
)

// guest reads a queue in the goroutine of an application that has just sent much, or of a timer. The reader of the queue may
// have to wait for a processor until all who send are blocked, and with it their acknowledgements and everybody's small
// exchanges.
type guest struct {
	busy sync.Mutex
	reader
}

func newGuest(r *reader) *guest {
	s := r.stack
	g := &guest{reader: reader{stack: s, queue: r.queue, backlog: r.backlog, isIn: make([]bool, len(s.shards))}}
	g.deliver = g.arrive
	return g
}

// read takes a batch of what has arrived, and lets those run who were waiting for it.
func (g *guest) read() { g.visit(false) }

// catchUp takes what has arrived, as much as a turn of the reader's is: one acknowledgement may wait behind many packets.
func (g *guest) catchUp() { g.visit(true) }

func (g *guest) visit(on bool) {
	if !g.busy.TryLock() {
		return
	}
	g.begin()
	n, err := g.stack.link.Poll(g.queue, batch, g.deliver)
	g.backlog.read(g.now, n)
	if on && err == nil {
		err = g.readOn()
	}
	if n > 0 && err == nil {
		g.finish()
	}
	woke := g.woke
	g.woke = false
	g.busy.Unlock()
	if woke {
		runtime.Gosched()
	}
}
