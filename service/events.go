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
		SetHandler(open func() eventHandler)
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

// eventServer is the handler of all connections of a listener: of none is anything kept.
type eventServer struct {
	log      Log
	counters *Counters
	turn     turn
}

// serveEvents is serve for a listener that calls. A connection that was being accepted when calls began has a goroutine, with handle.
func serveEvents(ctx context.Context, l eventListener, log Log, c *Counters, t turn, handle func(net.Conn) Reason) error {
	l.SetHandler((&eventServer{log: log, counters: c, turn: t}).open)
	return serve(ctx, l, log, c, handle)
}

func (s *eventServer) open() eventHandler {
	s.counters.begin()
	return s
}

// Ready implements eventHandler.
func (s *eventServer) Ready(c eventConn) (more bool) {
	more, done, reason := s.guarded(c)
	if !done {
		return more
	}
	if reason == Finished {
		c.Close()
	} else {
		c.Reset()
	}
	s.counters.end(reason)
	return false
}

// guarded survives a panic, which costs the one connection.
func (s *eventServer) guarded(c eventConn) (more, done bool, reason Reason) {
	defer func() {
		if p := recover(); p != nil {
			s.log.fail("panic, connection reset: %v\n%s", p, debug.Stack())
			more, done, reason = false, true, Panicked
		}
	}()
	return s.turn(c)
}

// Closed implements eventHandler. It counts as what a blocked call would have reported.
func (s *eventServer) Closed() { s.counters.end(clientFailures.of(syscall.ECONNABORTED)) }

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
