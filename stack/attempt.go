package stack

import (
	"net"

	"tcpd/tcp"
)

// Attempt is a client's SYN that was not answered yet. The application decides: Accept or Reject, within a minute.
type Attempt struct {
	shard    *shard
	listener *Listener
	id       tcp.AttemptID
	flow     tcp.Flow
	done     chan struct{}
	wake     chan struct{} // for Accept

	// Guarded by the shard's lock.
	over bool
	conn *Conn

	counted bool // by sources, until it ends or becomes a connection, which is
}

// NextAttempt waits for the next attempt of a listener with Hold.
func (l *Listener) NextAttempt() (*Attempt, error) {
	var a *Attempt
	err := l.await("accept", func(sh *shard) bool {
		a = l.nextAttempt(sh)
		return a != nil
	})
	return a, err
}

func (l *Listener) nextAttempt(sh *shard) *Attempt {
	now := sh.lock()
	defer func() { sh.leave(now) }()
	for !l.isClosed() {
		t, ok := sh.table.NextAttempt(l.ids[sh.index])
		if !ok {
			break
		}
		ok, counted := sh.stack.sources.open(now, t.Flow.Remote)
		if !ok {
			sh.table.RejectAttempt(now, t.ID)
			continue
		}
		a := &Attempt{
			shard: sh, listener: l, id: t.ID, flow: t.Flow, counted: counted,
			done: make(chan struct{}), wake: make(chan struct{}, 1),
		}
		sh.attempts[t.ID] = a
		return a
	}
	l.ready[sh.index].Store(false)
	return nil
}

// LocalAddr returns the address that the client wants to reach, a *net.TCPAddr.
func (a *Attempt) LocalAddr() net.Addr { return tcpAddr(a.flow.Local, a.flow.LocalPort) }

// RemoteAddr returns the client's address, a *net.TCPAddr.
func (a *Attempt) RemoteAddr() net.Addr { return tcpAddr(a.flow.Remote, a.flow.RemotePort) }

// Done is closed when the attempt has ended without a connection: the client gave up, or the listener closed, or Reject.
func (a *Attempt) Done() <-chan struct{} { return a.done }

// Accept answers the SYN and waits until the handshake is complete. The error is syscall.ECONNABORTED when it failed, or the
// attempt was over before, or was rejected meanwhile. It is called once.
func (a *Attempt) Accept() (net.Conn, error) {
	sh := a.shard
	now := sh.lock()
	if !a.over && !sh.table.AcceptAttempt(now, a.id) {
		delete(sh.attempts, a.id)
		a.end()
	}
	over := a.over
	sh.leave(now)
	if !over {
		<-a.wake
	}
	sh.mu.Lock()
	c := a.conn
	a.conn = nil
	sh.mu.Unlock()
	if c == nil {
		return nil, opError("accept", a.LocalAddr(), a.RemoteAddr(), tcp.ErrAborted)
	}
	return c, nil
}

// Reject refuses the client with RST. A connection that is there already is not concerned.
func (a *Attempt) Reject() {
	sh := a.shard
	now := sh.lock()
	if !a.over {
		sh.table.RejectAttempt(now, a.id)
		delete(sh.attempts, a.id)
		a.end()
	}
	sh.leave(now)
}

// finish takes the end of the attempt: a connection, or nil.
func (a *Attempt) finish(core *tcp.Conn, w *wakes) {
	if core == nil {
		a.end()
		return
	}
	a.over = true
	a.conn = a.shard.adopt(core)
	a.conn.counted = a.counted
	w.add(a.wake)
}

// end ends the attempt without a connection, once.
func (a *Attempt) end() {
	if a.over {
		return
	}
	a.over = true
	if a.counted {
		a.shard.stack.sources.close(a.flow.Remote)
	}
	close(a.done)
	signal(a.wake)
}
