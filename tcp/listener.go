package tcp

import "tcpd/ip"

// ListenerID names a listener of a table.
type ListenerID uint32

const noListener = ^ListenerID(0)

// AttemptID names a connection attempt that waits for the application's decision; see ListenOptions.Hold.
type AttemptID uint64

// Attempt is a SYN that was not answered yet.
type Attempt struct {
	ID   AttemptID
	Flow Flow
}

// ListenOptions are the options of a listener and of the connections it accepts.
type ListenOptions struct {
	Options Options
	// FastOpenPending bounds the connections that were opened by data with a SYN and whose client has not answered yet; 0: 256
	// (RFC 7413, section 5.1).
	FastOpenPending int

	Backlog  int  // accepted connections that may wait; 0: 1024
	Hold     bool // answer no SYN before AcceptAttempt
	IPv6Only bool // the unspecified address stands for IPv6 addresses only
}

const defaultBacklog = 1024

type endpoint struct {
	addr ip.Addr
	port uint16
}

type listener struct {
	at       endpoint
	opts     ListenOptions
	told     Options      // what was said, of which opts.Options is what follows from it and the budget
	accepted fifo[uint32] // slots of connections
	attempts fifo[AttemptID]
	live     bool
	raised   bool // EventAcceptable or EventAttempt is on its way

	fastOpens  int        // connections opened by a SYN with a cookie whose client has not answered yet
	fastResets fifo[Time] // until when those that it reset count as well

	cookieBuffer int32 // ReceiveBuffer of connections that cookies open
	cookiesUntil Time  // when the last cookie is worth nothing any more
}

var any4 = ip.Addr4([4]byte{})

// Listen is an application call: connections to addr and port are accepted from now on. The zero address stands for any
// address of both families, 0.0.0.0 for any IPv4 address. ErrInUse if the same is taken.
func (t *Table) Listen(addr ip.Addr, port uint16, o ListenOptions) (ListenerID, error) {
	at := endpoint{addr, port}
	if _, taken := t.bound[at]; taken {
		return 0, ErrInUse
	}
	told := o.Options
	o.Options = t.complete(told)
	o.Backlog = orDefault(o.Backlog, defaultBacklog)
	o.FastOpenPending = orDefault(o.FastOpenPending, defaultFastOpenPending)
	l := listener{at: at, opts: o, told: told, live: true}
	for i := range t.listeners {
		if !t.listeners[i].live {
			t.listeners[i] = l
			t.bound[at] = ListenerID(i)
			return ListenerID(i), nil
		}
	}
	t.listeners = append(t.listeners, l)
	t.bound[at] = ListenerID(len(t.listeners) - 1)
	return t.bound[at], nil
}

// Unlisten is an application call: it ends a listener. Connections that nobody accepted are reset; half-open ones are
// refused when their peer speaks next.
func (t *Table) Unlisten(now Time, id ListenerID) {
	l := &t.listeners[id]
	for c := t.Accept(id); c != nil; c = t.Accept(id) {
		t.Abort(now, c)
	}
	delete(t.bound, l.at)
	t.dropHalves(id)
	t.leaveListener(id)
	*l = listener{}
}

// SetListenOptions is an application call: it changes the options of connections that a listener will accept.
func (t *Table) SetListenOptions(id ListenerID, o Options) {
	l := &t.listeners[id]
	l.told, l.opts.Options = o, t.complete(o)
}

// SetFastOpenPending is an application call; see ListenOptions.
func (t *Table) SetFastOpenPending(id ListenerID, n int) {
	t.listeners[id].opts.FastOpenPending = orDefault(n, defaultFastOpenPending)
}

// match returns the listener for a local address and port: the exact one, else one of the family, else one of both.
func (t *Table) match(addr ip.Addr, port uint16) *listener {
	if id, ok := t.bound[endpoint{addr, port}]; ok {
		return &t.listeners[id]
	}
	if addr.Is4() {
		if id, ok := t.bound[endpoint{any4, port}]; ok {
			return &t.listeners[id]
		}
	}
	id, ok := t.bound[endpoint{ip.Addr{}, port}]
	if !ok || addr.Is4() && t.listeners[id].opts.IPv6Only {
		return nil
	}
	return &t.listeners[id]
}

func (t *Table) id(l *listener) ListenerID { return t.bound[l.at] }

// full reports whether another connection would exceed the backlog. Then no handshake is completed: what is established
// can be served (attack class H04).
func (l *listener) full() bool { return l.accepted.n >= l.opts.Backlog }

// Accept is an application call: it returns a connection that is established and that nobody has taken, or nil.
func (t *Table) Accept(id ListenerID) *Conn {
	l := &t.listeners[id]
	l.raised = false
	for {
		slot, ok := l.accepted.pop()
		if !ok {
			return nil
		}
		c := t.conn(slot)
		c.pending = false
		if c.failure == 0 || c.rcv.buf.len > 0 {
			return c
		}
		// Reset while it waited, and nothing to read: there is nothing to hand over.
		t.release(c)
	}
}

// NextAttempt is an application call: the next attempt to decide on, of a listener with Hold.
func (t *Table) NextAttempt(id ListenerID) (Attempt, bool) {
	l := &t.listeners[id]
	l.raised = false
	for {
		a, ok := l.attempts.pop()
		if !ok {
			return Attempt{}, false
		}
		if h := t.heldHalf(a); h != nil {
			return Attempt{ID: a, Flow: h.flow}, true
		}
	}
}
