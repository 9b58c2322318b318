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

// read takes what has arrived, and lets those run who were waiting for it.
func (g *guest) read() {
	if !g.busy.TryLock() {
		return
	}
	if err := g.poll(); err == nil && g.packets > 0 {
		g.finish()
	}
	woke := g.woke
	g.woke = false
	g.busy.Unlock()
	if woke {
		runtime.Gosched()
	}
}
