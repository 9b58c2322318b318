package main

import (
	"errors"
	"net"
	"sync"

	"tcpd/service"
	"tcpd/stack"
)

// arrival is what a listener gave: a connection, or an attempt at one if the listener holds them, or an error.
type arrival struct {
	conn    net.Conn
	attempt service.Attempt
	err     error
}

// drop ends a connection that nobody serves, with a RST.
func (a arrival) drop() {
	switch {
	case a.attempt != nil:
		a.attempt.Reject()
	case a.conn != nil:
		if c, ok := a.conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
		_ = a.conn.Close()
	}
}

// port is an open place to listen on. The service behind it can be replaced while it stays open: one goroutine takes what
// arrives, and gives it to the service that is in charge at that moment.
type port struct {
	listener net.Listener

	mu    sync.Mutex
	stage *stage
}

func openPort(l net.Listener) *port {
	p := &port{listener: l}
	p.stage = newStage(p)
	return p
}

// pump runs until the listener is closed.
func (p *port) pump() {
	for {
		a := p.next()
		if !p.deliver(a) || errors.Is(a.err, net.ErrClosed) {
			p.close()
			return
		}
	}
}

func (p *port) next() (a arrival) {
	if held, ok := p.listener.(service.AttemptListener); ok {
		a.attempt, a.err = held.NextAttempt()
	} else {
		a.conn, a.err = p.listener.Accept()
	}
	if a.err != nil {
		a.attempt, a.conn = nil, nil // and no interface around a nil pointer
	}
	return a
}

// deliver gives an arrival to the service in charge. It returns false when there will be none any more.
func (p *port) deliver(a arrival) bool {
	for {
		s := p.inCharge()
		select {
		case s.arrivals <- a:
			return true
		case <-s.done:
			if p.inCharge() == s {
				a.drop()
				return false
			}
		}
	}
}

func (p *port) inCharge() *stage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stage
}

// replace returns the listener of a new service and closes that of the old one, which thereby ends to accept. Until the new one
// says otherwise connections wait for Accept.
func (p *port) replace() net.Listener {
	p.mu.Lock()
	old := p.stage
	p.stage = newStage(p)
	next := p.stage
	if l, ok := p.listener.(caller); ok {
		l.SetHandler(nil)
	}
	p.mu.Unlock()
	_ = old.Close()
	return next.listener()
}

// caller is a listener whose connections can be served by calls.
type caller interface {
	SetHandler(open func() stack.Handler)
}

// close ends the port: nothing is accepted from now on.
func (p *port) close() {
	_ = p.listener.Close()
	_ = p.inCharge().Close()
}

// stage is the listener that one service is given: the arrivals of the port while the service is in charge. Closing it
// leaves the port open.
type stage struct {
	port     *port
	arrivals chan arrival
	done     chan struct{}
	close    func()
}

func newStage(p *port) *stage {
	s := &stage{port: p, arrivals: make(chan arrival), done: make(chan struct{})}
	s.close = sync.OnceFunc(func() { close(s.done) })
	return s
}

// listener returns the stage with the methods that the port's own listener has.
func (s *stage) listener() net.Listener {
	switch l := s.port.listener.(type) {
	case service.AttemptListener:
		return heldStage{s}
	case caller:
		return calledStage{s, l}
	}
	return s
}

// Accept returns the next connection.
func (s *stage) Accept() (net.Conn, error) {
	a := s.wait()
	return a.conn, a.err
}

func (s *stage) wait() arrival {
	select {
	case a := <-s.arrivals:
		return a
	case <-s.done:
		return arrival{err: &net.OpError{Op: "accept", Net: "tcp", Addr: s.Addr(), Err: net.ErrClosed}}
	}
}

// Close ends the service's accepting.
func (s *stage) Close() error {
	s.close()
	return nil
}

// Addr returns the port's address.
func (s *stage) Addr() net.Addr { return s.port.listener.Addr() }

// heldStage is the stage of a listener that holds attempts.
type heldStage struct{ *stage }

// NextAttempt returns the next attempt.
func (s heldStage) NextAttempt() (service.Attempt, error) {
	a := s.wait()
	return a.attempt, a.err
}

// calledStage is the stage of a listener that can serve by calls.
type calledStage struct {
	*stage
	caller caller
}

// SetHandler has what arrives served by calls while the service is in charge.
func (s calledStage) SetHandler(open func() stack.Handler) {
	s.port.mu.Lock()
	defer s.port.mu.Unlock()
	if s.port.stage == s.stage {
		s.caller.SetHandler(open)
	}
}
