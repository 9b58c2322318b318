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

// read takes what has arrived, sends what follows from it, and lets those run who were waiting for it.
func (g *guest) read() {
	if !g.busy.TryLock() {
		return
	}
	if g.arrived() {
		g.finish()
	}
	g.leave()
}

// glance is read for somebody in the middle of something, who will leave own: it sends no more than a burst of each shard.
func (g *guest) glance(own *shard) {
	if g.busy.TryLock() {
		g.sendSome(g.arrived(), own)
	}
}

// sendSome sends a burst of each shard touched, and ends the visit. What else own has to send leaves with who is to leave it; that of
// others leaves in a goroutine of its own.
func (g *guest) sendSome(came bool, own *shard) {
	if came && g.flush() {
		g.forget(own)
		if len(g.touched) > 0 {
			go func() {
				g.finish()
				g.leave()
			}()
			return
		}
	}
	g.leave()
}

// arrived takes what has arrived, and reports whether anything has.
func (g *guest) arrived() bool { return g.poll() == nil && g.packets > 0 } // the next Read tells of an error

// leave lets others be guests, and those run who were woken.
func (g *guest) leave() {
	woke := g.woke
	g.woke = false
	g.busy.Unlock()
	if woke {
		runtime.Gosched()
	}
}
