package stack

import "tcpd/tcp"

// wakes gathers the channels of those to be woken once the lock is free: one send for each, after all of a batch is done.
type wakes struct {
	few  [8]chan struct{}
	n    int
	many []chan struct{}
}

func (w *wakes) add(c chan struct{}) {
	if w.n < len(w.few) {
		w.few[w.n] = c
		w.n++
		return
	}
	w.many = append(w.many, c)
}

// send wakes them. The channels hold one token: who was told already is not told twice.
func (w *wakes) send() {
	for i, c := range w.few[:w.n] {
		signal(c)
		w.few[i] = nil
	}
	for i, c := range w.many {
		signal(c)
		w.many[i] = nil
	}
	w.n, w.many = 0, w.many[:0]
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// collect reads the table's events, notes who is to wake, and calls handlers.
func (sh *shard) collect(now tcp.Time, w *wakes) {
	for _, ev := range sh.table.Events() {
		switch ev.Kind {
		case tcp.EventReadable:
			if s := sh.servedBy(ev.Conn); s != nil {
				sh.callLater(ev.Conn, s, &sh.calls.news)
			} else if c := sh.holder(ev.Conn); c != nil {
				if c.core.Err() != nil {
					c.finish()
				}
				c.read.rouse(w)
			}
		case tcp.EventWritable:
			if s := sh.servedBy(ev.Conn); s != nil {
				sh.callLater(ev.Conn, s, &sh.calls.news)
			} else if c := sh.holder(ev.Conn); c != nil {
				c.write.rouse(w)
			}
		case tcp.EventConnected:
			if c := sh.holder(ev.Conn); c != nil {
				c.connected = true
				c.write.rouse(w)
			}
		case tcp.EventAcceptable, tcp.EventAttempt:
			if l := sh.listeners[ev.Listener]; l != nil && l.open[sh.index] != nil {
				sh.acceptServed(now, l)
			} else if l != nil {
				l.ready[sh.index].Store(true)
				w.add(l.wake)
			}
		case tcp.EventReport:
			sh.report(ev.Conn, w)
		case tcp.EventAttemptDone:
			sh.attemptDone(ev.Attempt, ev.Conn, w)
		}
	}
	for _, c := range sh.orphans {
		sh.table.Abort(now, c)
	}
	sh.orphans = sh.orphans[:0]
	sh.call(now)
}

// holder returns the runtime's part of a connection, nil while, or after, no application holds it.
func (sh *shard) holder(core *tcp.Conn) *Conn {
	if slot := int(core.Slot()); slot < len(sh.conns) {
		if c := sh.conns[slot]; c != nil && c.core == core {
			return c
		}
	}
	return nil
}

// attemptDone ends an attempt. A connection that nobody waits for any more is reset, after the events are read.
func (sh *shard) attemptDone(id tcp.AttemptID, core *tcp.Conn, w *wakes) {
	a := sh.attempts[id]
	if a == nil {
		if core != nil {
			sh.orphans = append(sh.orphans, core)
		}
		return
	}
	delete(sh.attempts, id)
	a.finish(core, w)
}
