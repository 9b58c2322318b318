package stack

import (
	"io"
	"net"

	"tcpd/tcp"
)

// EventConn is a connection as its Handler has it, during a call of Ready and no longer. It is an alias of a plain interface,
// and so is Handler: a package can serve connections this way and not know this one.
type EventConn = interface {
	// Peek returns bytes that have arrived, max at most and perhaps less than are there, without removing them. They are
	// borrowed until Discard, Close or Reset, one of which has to follow before the next Peek. None and no error: nothing is
	// there, Ready follows.
	// io.EOF after the peer's FIN; another error when the connection has failed.
	Peek(max int) ([]byte, error)
	// Discard removes n bytes of those that Peek has returned, which may be none.
	Discard(n int)
	// Write takes what there is room for and returns how much that is. Less than all and no error: Ready follows.
	Write(b []byte) (int, error)
	// CloseWrite sends FIN after the last byte written.
	CloseWrite() error
	// Close gives the connection up in order, Reset with RST: what net.Conn's Close does by default and after SetLinger(0). No
	// call of the handler follows either.
	Close()
	Reset()
	LocalAddr() net.Addr
	RemoteAddr() net.Addr
}

// Handler serves a connection by calls, without a goroutine. All calls of one connection come one after the other, in the
// goroutine that has the news, while the lock of the shard is held: a call must not block, takes from the stack only what its
// EventConn offers, and leaves what is long to the next call.
type Handler = interface {
	// Ready is called when the connection is there, and when something may go on: bytes or their end have come, there is room
	// again after a Write that took less than all, the connection has failed. It reports whether it has more to do; then it is
	// called again after others. When Peek or Write has returned an error, also io.EOF, it is up to the handler to Close or
	// Reset; a connection that is not given up stays.
	Ready(c EventConn) (more bool)
	// Closed is called when the stack ends the connection by itself: it was closed.
	Closed()
}

// served is what a shard keeps for a connection with a handler.
type served struct {
	handler Handler // nil: the slot has none
	queued  bool    // waits for a call of Ready
	counted bool    // by sources
}

// eventConn is the EventConn of all calls of a shard.
type eventConn struct {
	shard  *shard
	core   *tcp.Conn // nil: given up
	now    tcp.Time
	cut    bool // the last Write took less than all
	pieces [1][]byte
}

func (c *eventConn) Peek(n int) ([]byte, error) {
	pieces, err := c.shard.table.Peek(c.core, n, c.pieces[:0])
	if len(pieces) == 0 {
		return nil, c.opError("read", err)
	}
	return pieces[0], nil
}

func (c *eventConn) Discard(n int) { c.shard.table.Consume(c.now, c.core, n) }

func (c *eventConn) Write(b []byte) (int, error) {
	n, err := c.shard.table.Write(c.now, c.core, b)
	c.cut = n < len(b)
	return n, c.opError("write", err)
}

func (c *eventConn) CloseWrite() error {
	return c.opError("close", c.shard.table.CloseWrite(c.now, c.core))
}

func (c *eventConn) Close() {
	c.shard.table.Close(c.now, c.giveUp())
}

func (c *eventConn) Reset() {
	c.shard.table.Abort(c.now, c.giveUp())
}

// giveUp ends that the shard serves the connection, and what the handler may still have borrowed.
func (c *eventConn) giveUp() *tcp.Conn {
	core := c.core
	c.core = nil
	c.shard.table.Consume(c.now, core, 0)
	c.shard.unserve(core)
	return core
}

func (c *eventConn) LocalAddr() net.Addr {
	f := c.core.Flow()
	return tcpAddr(f.Local, f.LocalPort)
}

func (c *eventConn) RemoteAddr() net.Addr {
	f := c.core.Flow()
	return tcpAddr(f.Remote, f.RemotePort)
}

func (c *eventConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, c.LocalAddr(), c.RemoteAddr(), err)
}

// ServeEvents serves the connections of l by handlers, which open makes, until l is closed; then it returns an error that is
// net.ErrClosed, and connections go on. open is called in the manner of a Handler, and must not be nil. Accept is not to be
// called beside.
func (l *Listener) ServeEvents(open func() Handler) error {
	for _, sh := range l.stack.shards {
		now := sh.lock()
		l.open[sh.index] = open
		if sh.listeners[l.ids[sh.index]] == l {
			sh.acceptServed(now, l)
		}
		sh.leave(now)
	}
	<-l.closed
	return opError("accept", nil, l.Addr(), net.ErrClosed)
}

// acceptServed takes the connections that wait for a listener with handlers.
func (sh *shard) acceptServed(now tcp.Time, l *Listener) {
	for core := sh.table.Accept(l.ids[sh.index]); core != nil; core = sh.table.Accept(l.ids[sh.index]) {
		ok, counted := sh.stack.sources.open(now, core.Flow().Remote)
		if !ok {
			sh.table.Abort(now, core)
			continue
		}
		s := sh.servedAt(core.Slot())
		*s = served{handler: l.open[sh.index](), counted: counted}
		sh.callLater(core, s)
	}
}

const servedChunk = 256

// servedAt returns what is kept for a slot.
func (sh *shard) servedAt(slot uint32) *served {
	for int(slot/servedChunk) >= len(sh.served) {
		sh.served = append(sh.served, new([servedChunk]served))
	}
	return &sh.served[slot/servedChunk][slot%servedChunk]
}

// servedBy returns what is kept for a connection that a handler serves, else nil.
func (sh *shard) servedBy(core *tcp.Conn) *served {
	slot := core.Slot()
	if int(slot/servedChunk) >= len(sh.served) {
		return nil
	}
	if s := &sh.served[slot/servedChunk][slot%servedChunk]; s.handler != nil {
		return s
	}
	return nil
}

// callLater queues a call of the connection's handler.
func (sh *shard) callLater(core *tcp.Conn, s *served) {
	if !s.queued {
		s.queued = true
		sh.calls.push(core)
	}
}

// callsAtOnce is how many handlers are called before what they wrote is sent: what they copied still is in the processor's
// cache then.
const callsAtOnce = 4

// calls are the connections whose handlers are to be called, in order.
type calls struct {
	list []*tcp.Conn
	next int // those before it have been called
}

func (q *calls) len() int { return len(q.list) - q.next }

func (q *calls) push(c *tcp.Conn) { q.list = append(q.list, c) }

func (q *calls) pop() *tcp.Conn {
	c := q.list[q.next]
	q.next++
	if 2*q.next > len(q.list) {
		n := copy(q.list, q.list[q.next:])
		q.list, q.next = q.list[:n], 0
	}
	return c
}

// call calls handlers that are queued, those that wait longest.
func (sh *shard) call(now tcp.Time) {
	for range min(sh.calls.len(), callsAtOnce) {
		core := sh.calls.pop()
		s := sh.servedBy(core)
		if s == nil || !s.queued { // given up meanwhile
			continue
		}
		s.queued = false
		c := &sh.event
		c.core, c.now, c.cut = core, now, false
		more := s.handler.Ready(c)
		if c.core == nil {
			continue
		}
		if more {
			sh.callLater(core, s)
		}
		sh.table.SetMore(core, more || c.cut)
	}
}

// unserve forgets the handler of a connection that it has given up.
func (sh *shard) unserve(core *tcp.Conn) {
	s := sh.servedBy(core)
	if s.counted {
		sh.stack.sources.close(core.Flow().Remote)
	}
	*s = served{}
}

// closeServed resets what handlers serve.
func (sh *shard) closeServed(now tcp.Time) {
	for i, chunk := range sh.served {
		for k := range chunk {
			s := &chunk[k]
			if s.handler == nil {
				continue
			}
			core := sh.table.At(uint32(i*servedChunk + k))
			h := s.handler
			sh.unserve(core)
			sh.table.Abort(now, core)
			h.Closed()
			sh.sendAll(now)
		}
	}
	sh.calls = calls{}
}
