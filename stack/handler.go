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
	// borrowed until Discard, Close or Reset, one of which has to follow in the same call of Ready, and before the next Peek.
	// None and no error: nothing is there, Ready follows.
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

// eventConn is the EventConn of all calls of a shard. What Peek finds it hands out piece by piece: the table is asked once for
// many of them, and told once what has become of them.
type eventConn struct {
	shard  *shard
	core   *tcp.Conn // nil: given up
	flow   tcp.Flow
	now    tcp.Time
	cut    bool     // the last Write took less than all
	wrote  int      // bytes, by this call of the handler
	view   [][]byte // what the table has lent and is not discarded
	taken  int      // bytes that are
	pieces [eventPieces][]byte
}

const (
	eventView   = 64 << 10
	eventPieces = eventView>>12 + 1 // pages that so much can fall on
)

func (c *eventConn) Peek(n int) ([]byte, error) {
	if c.core == nil {
		return nil, c.opError("read", net.ErrClosed)
	}
	if len(c.view) == 0 {
		c.giveBack()
		view, err := c.shard.table.Peek(c.core, eventView, c.pieces[:0])
		if len(view) == 0 {
			return nil, c.opError("read", err)
		}
		c.view = view
	}
	b := c.view[0]
	return b[:min(n, len(b))], nil
}

func (c *eventConn) Discard(n int) {
	if n == 0 || len(c.view) == 0 {
		return // of nothing that is borrowed
	}
	n = min(n, len(c.view[0]))
	c.taken += n
	if c.view[0] = c.view[0][n:]; len(c.view[0]) == 0 {
		c.view = c.view[1:]
	}
}

// giveBack ends what Peek has borrowed from the table.
func (c *eventConn) giveBack() {
	c.shard.table.Consume(c.now, c.core, c.taken)
	c.view, c.taken = nil, 0
}

func (c *eventConn) Write(b []byte) (int, error) {
	if c.core == nil {
		return 0, c.opError("write", net.ErrClosed)
	}
	n, err := c.shard.table.Write(c.now, c.core, b)
	c.cut = n < len(b)
	c.wrote += n
	return n, c.opError("write", err)
}

func (c *eventConn) CloseWrite() error {
	if c.core == nil {
		return c.opError("close", net.ErrClosed)
	}
	return c.opError("close", c.shard.table.CloseWrite(c.now, c.core))
}

func (c *eventConn) Close() {
	if c.core != nil {
		c.shard.table.Close(c.now, c.giveUp())
	}
}

func (c *eventConn) Reset() {
	if c.core != nil {
		c.shard.table.Abort(c.now, c.giveUp())
	}
}

// giveUp ends that the shard serves the connection, and what the handler may still have borrowed.
func (c *eventConn) giveUp() *tcp.Conn {
	c.giveBack()
	core := c.core
	c.core = nil
	c.shard.unserve(core)
	return core
}

func (c *eventConn) LocalAddr() net.Addr {
	f := &c.flow
	return tcpAddr(f.Local, f.LocalPort)
}

func (c *eventConn) RemoteAddr() net.Addr {
	f := &c.flow
	return tcpAddr(f.Remote, f.RemotePort)
}

func (c *eventConn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return opError(op, c.LocalAddr(), c.RemoteAddr(), err)
}

// SetHandler has the connections that come from now on served by handlers, which open makes; with nil they wait for Accept. Those
// that are there go on as they are; one that Accept was about to take may still come from there. open is called in the manner of a
// Handler, and returns one.
func (l *Listener) SetHandler(open func() Handler) {
	for _, sh := range l.stack.shards {
		now := sh.lock()
		l.open[sh.index] = open
		if open != nil && sh.listeners[l.ids[sh.index]] == l {
			sh.acceptServed(now, l)
		}
		sh.leave(now)
	}
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
		sh.callLater(core, s, &sh.calls.news)
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
