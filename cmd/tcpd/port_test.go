package main

import (
	"errors"
	"io"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"tcpd/service"
)

// pipeListener gives the far ends of pipes whose near ends its dial returns.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.close()
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{Port: 7} }

func (l *pipeListener) dial() net.Conn {
	near, far := net.Pipe()
	_ = near.SetDeadline(time.Now().Add(30 * time.Second))
	l.conns <- far
	return near
}

// attemptListener holds attempts.
type attemptListener struct {
	*pipeListener
	attempts chan service.Attempt
}

func (l attemptListener) NextAttempt() (service.Attempt, error) {
	select {
	case a := <-l.attempts:
		return a, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// attempt notes that it was rejected.
type attempt struct{ rejected chan struct{} }

func (a attempt) LocalAddr() net.Addr       { return nil }
func (a attempt) RemoteAddr() net.Addr      { return nil }
func (a attempt) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (a attempt) Reject()                   { close(a.rejected) }
func (a attempt) Done() <-chan struct{}     { return nil }

// A connection that arrives while nobody is in charge waits for the next service, whoever that is.
func TestPortKeepsArrivalsForTheNextService(t *testing.T) {
	l := newPipeListener()
	p := openPort(l)
	go p.pump()
	first := p.replace()
	client := l.dial()
	second := p.replace()
	if conn, err := first.Accept(); err == nil {
		// The first may still take it: then it serves it.
		go func() { _, _ = io.WriteString(conn, "x") }()
	} else if !errors.Is(err, net.ErrClosed) {
		t.Errorf("the service that was replaced gets %v, want net.ErrClosed", err)
	} else if conn, err := second.Accept(); err != nil {
		t.Errorf("the new service gets %v, want the connection", err)
	} else {
		go func() { _, _ = io.WriteString(conn, "x") }()
	}
	if _, err := client.Read(make([]byte, 1)); err != nil {
		t.Errorf("the client reads %v", err)
	}
	p.close()
	if _, err := second.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the service of a closed port gets %v, want net.ErrClosed", err)
	}
}

// What nobody took when the port closes is ended, not forgotten.
func TestClosedPortEndsWhatWaits(t *testing.T) {
	l := newPipeListener()
	p := openPort(l)
	go p.pump()
	client := l.dial()
	p.close()
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads %v, want the end", err)
	}
}

// The stage of a listener that holds attempts holds attempts, any other does not.
func TestPortOfAttempts(t *testing.T) {
	l := attemptListener{newPipeListener(), make(chan service.Attempt)}
	p := openPort(l)
	go p.pump()
	stage, ok := p.replace().(service.AttemptListener)
	if !ok {
		t.Fatal("the stage gives no attempts")
	}
	sent := attempt{make(chan struct{})}
	go func() { l.attempts <- sent }()
	if got, err := stage.NextAttempt(); err != nil || got != service.Attempt(sent) {
		t.Errorf("got %v, %v", got, err)
	}
	l.attempts <- sent
	p.close()
	<-sent.rejected
	if _, ok := openPort(newPipeListener()).replace().(service.AttemptListener); ok {
		t.Error("a listener of connections should not seem to hold attempts")
	}
}

// An error that will pass reaches the service, which waits; the port stays open.
func TestPortPassesErrorsOn(t *testing.T) {
	l := &failingListener{pipeListener: newPipeListener(), errs: make(chan error, 1)}
	p := openPort(l)
	stage := p.replace()
	go p.pump()
	l.errs <- io.ErrNoProgress
	if _, err := stage.Accept(); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %v, want the listener's error", err)
	}
	go func() { _ = l.dial() }()
	if _, err := stage.Accept(); err != nil {
		t.Errorf("after the error: %v", err)
	}
	p.close()
}

type failingListener struct {
	*pipeListener
	errs chan error
}

func (l *failingListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.errs:
		return nil, err
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// TestIdleEchoesNeedNoGoroutine: the daemon's listeners serve by calls what can be served so.
func TestIdleEchoesNeedNoGoroutine(t *testing.T) {
	s := newSetup(t, "services:\n"+serviceLine("echo", 7, "echo: {}"))
	wantEcho(t, s.mustDial("10.77.0.2:7"), "warm")
	const n = 100
	before := runtime.NumGoroutine()
	for range n {
		wantEcho(t, s.mustDial("10.77.0.2:7"), "idle from now on")
	}
	if more := runtime.NumGoroutine() - before; more > n/10 {
		t.Errorf("%d goroutines more with %d connections", more, n)
	}
}

// TestReloadBetweenCallsAndGoroutines: a port that stays open is served by calls, by goroutines and by calls again, and whoever came
// before goes on as he was.
func TestReloadBetweenCallsAndGoroutines(t *testing.T) {
	echo := "services:\n" + serviceLine("first", 7, "echo: {}")
	s := newSetup(t, echo)
	running := s.mustDial("10.77.0.2:7")
	wantEcho(t, running, "by calls")
	for range 20 {
		if _, err := s.reload("services:\n" + serviceLine("first", 7, "http: {body: page}")); err != nil {
			t.Fatal(err)
		}
		if got := s.get("10.77.0.2:7"); got != "page" {
			t.Fatalf("the page is %q", got)
		}
		wantEcho(t, running, "it was here before")
		if _, err := s.reload(echo); err != nil {
			t.Fatal(err)
		}
		wantEcho(t, s.mustDial("10.77.0.2:7"), "by calls again")
	}
	wantEcho(t, running, "all the time")
}
