package service

import (
	"context"
	"io"
	"net"
	"runtime/debug"
	"syscall"
)

// eventListener is what a listener may offer beside Accept: it serves connections by calls, without a goroutine for each.
// tcpd's own does; the types have no names, so that neither side has to know the other.
type (
	eventListener interface {
		net.Listener
		ServeEvents(open func() eventHandler) error
	}
	eventHandler = interface {
		Ready(c eventConn) (more bool)
		Closed()
	}
	eventConn = interface {
		Peek(max int) ([]byte, error)
		Discard(n int)
		Write(b []byte) (int, error)
		CloseWrite() error
		Close()
		Reset()
		LocalAddr() net.Addr
		RemoteAddr() net.Addr
	}
)

// step is what one call of a handler moves: others wait that long.
const step = 64 << 10

// turn does what can be done on a connection for the moment. done: the connection is over, for the reason given.
type turn func(c eventConn) (more, done bool, reason Reason)

// eventServer makes the handlers of one listener.
type eventServer struct {
	log      Log
	counters *Counters
	begin    func() turn // nil: one serves all
	all      visitor
}

// visitor is the handler of one connection, or of all.
type visitor struct {
	server *eventServer
	turn   turn
}

// serveEvents is serve for a listener that calls: by one turn for all connections, that keeps nothing of them, or by what begin
// returns for each.
func serveEvents(ctx context.Context, l eventListener, log Log, c *Counters, one turn, begin func() turn) error {
	defer func() { _ = l.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	s := &eventServer{log: log, counters: c, begin: begin}
	s.all = visitor{s, one}
	return ending(ctx, l, l.ServeEvents(s.open))
}

func (s *eventServer) open() eventHandler {
	s.counters.begin()
	if s.begin == nil {
		return &s.all
	}
	return &visitor{s, s.begin()}
}

// Ready implements eventHandler.
func (v *visitor) Ready(c eventConn) (more bool) {
	more, done, reason := v.guarded(c)
	if !done {
		return more
	}
	if reason == Finished {
		c.Close()
	} else {
		c.Reset()
	}
	v.server.counters.end(reason)
	return false
}

// guarded survives a panic, which costs the one connection.
func (v *visitor) guarded(c eventConn) (more, done bool, reason Reason) {
	defer func() {
		if p := recover(); p != nil {
			v.server.log.printf("panic, connection reset: %v\n%s", p, debug.Stack())
			more, done, reason = false, true, Panicked
		}
	}()
	return v.turn(c)
}

// Closed implements eventHandler. It counts as what a blocked call would have reported.
func (v *visitor) Closed() { v.server.counters.end(clientFailures.of(syscall.ECONNABORTED)) }

// receiveStep hands what has arrived to take, which returns how much of it it took; less than all waits for room.
func receiveStep(c eventConn, take func([]byte) (int, error)) (more, done bool, reason Reason) {
	for moved := 0; moved < step; {
		b, err := c.Peek(step - moved)
		switch {
		case err == io.EOF:
			return false, true, Finished
		case err != nil:
			return false, true, clientFailures.of(err)
		case len(b) == 0:
			return false, false, 0
		}
		n, err := take(b)
		c.Discard(n)
		switch {
		case err != nil:
			return false, true, clientFailures.of(err)
		case n < len(b):
			return false, false, 0
		}
		moved += n
	}
	return true, false, 0
}

func echoTurn(c eventConn) (more, done bool, reason Reason) { return receiveStep(c, c.Write) }

func discardTurn(c eventConn) (more, done bool, reason Reason) {
	return receiveStep(c, func(b []byte) (int, error) { return len(b), nil })
}

// chargenTurns returns what sends the pattern on one connection.
func chargenTurns() turn {
	at := 0
	return func(c eventConn) (more, done bool, reason Reason) {
		// The client's FIN does not end the stream, see Chargen.send.
		unread, over, reason := discardTurn(c)
		if over && reason != Finished {
			return false, true, reason
		}
		n, err := c.Write(chargenPattern()[at : at+step])
		if err != nil {
			return false, true, clientFailures.of(err)
		}
		at = (at + n) % chargenPeriod
		return n == step || unread, false, 0
	}
}
