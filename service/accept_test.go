package service

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a listener whose Accept gives one result after the other, then blocks until it is closed.
type scripted struct {
	results chan any // net.Conn or error
	closed  chan struct{}
	once    atomic.Bool
}

func newScripted(results ...any) *scripted {
	s := &scripted{results: make(chan any, len(results)), closed: make(chan struct{})}
	for _, r := range results {
		s.results <- r
	}
	return s
}

func (s *scripted) Accept() (net.Conn, error) {
	select {
	case r := <-s.results:
		if err, ok := r.(error); ok {
			return nil, err
		}
		return r.(net.Conn), nil
	default:
	}
	<-s.closed
	return nil, net.ErrClosed
}

func (s *scripted) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(10, 77, 0, 2), Port: 7} }

func (s *scripted) Close() error {
	if !s.once.Swap(true) {
		close(s.closed)
	}
	return nil
}

func TestAcceptWaitsOutPassingErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		l := newScripted(syscall.EMFILE, syscall.EMFILE, syscall.ENOBUFS, near)
		var lines []string
		e := &Echo{Log: func(_ Level, format string, _ ...any) { lines = append(lines, format) }}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error)
		began := time.Now()
		go func() { served <- e.Serve(ctx, l) }()
		say(t, far, "hi")
		wantText(t, far, "hi")
		if waited := time.Since(began); waited != 35*time.Millisecond {
			t.Errorf("accepted after %v, want the pauses 5+10+20 ms", waited)
		}
		if got := e.Snapshot().AcceptErrors; got != 3 || len(lines) != 1 {
			t.Errorf("%d errors counted, %d lines logged; want 3 and 1", got, len(lines))
		}
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v, want nil after its context ended", err)
		}
		say(t, far, "still here")
		wantText(t, far, "still here")
		_ = far.Close()
		synctest.Wait()
		wantIdentities(t, e.Snapshot())
	})
}

func TestServeReportsAListenerThatFailed(t *testing.T) {
	broken := errors.New("the link is gone")
	for _, s := range []server{&Echo{}, &HTTP{}, &Proxy{To: "127.0.0.1:1"}} {
		l := newScripted(broken)
		if err := s.Serve(t.Context(), l); !errors.Is(err, broken) || !strings.Contains(err.Error(), "10.77.0.2:7") {
			t.Errorf("%T: got %v, want the listener's error with its address", s, err)
		}
		if !l.once.Load() {
			t.Errorf("%T: the listener was not closed", s)
		}
	}
}

func TestServeReturnsNilWhenTheListenerIsClosed(t *testing.T) {
	for _, s := range []server{&Echo{}, &Discard{}, &Daytime{}, &Chargen{}, &HTTP{}, &Proxy{To: "127.0.0.1:1"}} {
		l := newScripted()
		_ = l.Close()
		if err := s.Serve(t.Context(), l); err != nil {
			t.Errorf("%T: got %v, want nil", s, err)
		}
	}
}

// custom is a service with a handler of the test's.
type custom struct {
	log    Log
	handle func(net.Conn) Reason
	Counters
}

func (c *custom) Serve(ctx context.Context, l net.Listener) error {
	return serve(ctx, l, c.log, &c.Counters, c.handle)
}

func TestAPanicCostsOneConnection(t *testing.T) {
	var logged atomic.Int32
	s := &custom{log: func(Level, string, ...any) { logged.Add(1) }, handle: func(conn net.Conn) Reason {
		return receive(conn, func(b []byte) error {
			if string(b) == "panic" {
				panic("oh")
			}
			_, err := conn.Write(b)
			return err
		})
	}}
	l := listen(t, "tcp", families[0])
	start(t, s, l)
	conn := connect(t, l)
	say(t, conn, "panic")
	wantReset(t, conn, "a stream cut by a panic must not end in FIN")
	wantEnded(t, s, Panicked)
	if logged.Load() != 1 {
		t.Errorf("the panic was logged %d times, want once", logged.Load())
	}
	conn = connect(t, l)
	say(t, conn, "hi")
	wantText(t, conn, "hi")
	_ = conn.Close()
	wantEnded(t, s, Finished)
}
