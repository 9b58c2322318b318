package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// faulty is a connection whose Read can be made to fail as the kernel would make it.
type faulty struct {
	net.Conn
	read atomic.Pointer[syscall.Errno]
}

func (f *faulty) Read(b []byte) (int, error) {
	n, err := f.Conn.Read(b)
	if why := f.read.Load(); why != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, &net.OpError{Op: "read", Net: "tcp", Err: *why}
	}
	return n, err
}

func (f *faulty) CloseWrite() error { return closeWrite(f.Conn) }

func (f *faulty) SetLinger(sec int) error {
	if c, ok := f.Conn.(lingerer); ok {
		return c.SetLinger(sec)
	}
	return nil
}

// fail wakes the Read that waits, with why.
func (f *faulty) fail(why syscall.Errno) {
	f.read.Store(&why)
	_ = f.Conn.SetReadDeadline(time.Unix(1, 0))
}

// bench is a proxied connection: both ends of it, and the proxy's sockets in between.
type bench struct {
	proxy           *Proxy
	client, backend net.Conn
	inner           struct{ client, backend *faulty } // nil unless injecting
}

// wrapping is a listener whose connections are faulty.
type wrapping struct {
	net.Listener
	conns chan *faulty
}

func (w wrapping) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	f := &faulty{Conn: conn}
	w.conns <- f
	return f, nil
}

// newBench connects a client through a proxy. kind is the network of the backend.
func newBench(t *testing.T, kind, address string, inject bool) *bench {
	t.Helper()
	front := listen(t, "tcp", address)
	back, to := backendListener(t, kind, address)
	b := &bench{proxy: &Proxy{To: to}}
	if !inject {
		start(t, b.proxy, front)
		b.meet(t, front, back)
		return b
	}
	conns, dialled := make(chan *faulty, 1), make(chan *faulty, 1)
	b.proxy.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		f := &faulty{Conn: conn}
		dialled <- f
		return f, err
	}
	start(t, b.proxy, wrapping{front, conns})
	b.meet(t, front, back)
	b.inner.client, b.inner.backend = <-conns, <-dialled
	return b
}

func backendListener(t *testing.T, kind, address string) (l net.Listener, to string) {
	t.Helper()
	if kind == "unix" {
		path := unixSocket(t)
		return listen(t, "unix", path), "unix:" + path
	}
	l = listen(t, "tcp", address)
	return l, l.Addr().String()
}

func (b *bench) meet(t *testing.T, front, back net.Listener) {
	t.Helper()
	b.client = connect(t, front)
	conn, err := back.Accept()
	if err != nil {
		t.Fatal(err)
	}
	b.backend = watched(t, conn)
	say(t, b.client, "ping")
	wantText(t, b.backend, "ping")
	say(t, b.backend, "pong")
	wantText(t, b.client, "pong")
}

// each runs test for both families and both kinds of backend.
func each(t *testing.T, test func(t *testing.T, kind, address string)) {
	for _, kind := range []string{"tcp", "unix"} {
		for _, address := range families {
			t.Run(kind+"/"+address, func(t *testing.T) { test(t, kind, address) })
		}
	}
}

// wantCut expects what a RST looks like on conn: on a UNIX socket, which has none, the end of the stream.
func wantCut(t *testing.T, conn net.Conn, why string) {
	t.Helper()
	if _, ok := conn.(*net.UnixConn); ok {
		wantEOF(t, conn, why+" (a UNIX socket has no RST)")
		return
	}
	wantReset(t, conn, why)
}

func finish(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := closeWrite(conn); err != nil {
		t.Fatal(err)
	}
}

func TestRelayFIN(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		for _, order := range []string{"client first", "backend first"} {
			b := newBench(t, kind, address, false)
			first, second := b.client, b.backend
			if order == "backend first" {
				first, second = second, first
			}
			say(t, first, "request")
			finish(t, first)
			wantText(t, second, "request")
			wantEOF(t, second, order+": FIN is carried after the last byte")
			say(t, second, "the other direction goes on")
			wantText(t, first, "the other direction goes on")
			finish(t, second)
			wantEOF(t, first, order+": the second FIN is carried, too")
			wantEnded(t, b.proxy, Finished)
		}
	})
}

func TestRelayRSTFromClient(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		rst(t, b.client)
		wantCut(t, b.backend, "the client sent RST")
		wantEnded(t, b.proxy, ClientReset)
	})
}

// backendDies resets the backend's connection. A UNIX socket does that when it is closed with unread data.
func (b *bench) backendDies(t *testing.T) {
	t.Helper()
	if _, ok := b.backend.(*net.UnixConn); !ok {
		rst(t, b.backend)
		return
	}
	say(t, b.client, "ab")
	wantText(t, b.backend, "a")
	_ = b.backend.Close()
}

func TestRelayRSTFromBackend(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		say(t, b.backend, "half an ans")
		wantText(t, b.client, "half an ans")
		b.backendDies(t)
		wantReset(t, b.client, "half an answer must not look like a whole one")
		wantEnded(t, b.proxy, BackendReset)
	})
}

func TestRelayTimeoutAndUnreachable(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		for _, c := range []struct {
			why             syscall.Errno
			client, backend Reason
		}{
			{syscall.ETIMEDOUT, ClientTimeout, BackendTimeout},
			{syscall.EHOSTUNREACH, ClientUnreachable, BackendUnreachable},
			{syscall.ENETUNREACH, ClientUnreachable, BackendUnreachable},
		} {
			b := newBench(t, kind, address, true)
			b.inner.client.fail(c.why)
			wantCut(t, b.backend, "the client's connection failed")
			wantReset(t, b.client, "its own connection failed")
			wantEnded(t, b.proxy, c.client)

			b = newBench(t, kind, address, true)
			b.inner.backend.fail(c.why)
			wantReset(t, b.client, "the backend's connection failed")
			wantCut(t, b.backend, "its own connection failed")
			wantEnded(t, b.proxy, c.backend)
		}
	})
}

func TestRelayTimeoutWhileHalfClosed(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, true)
		finish(t, b.client)
		wantEOF(t, b.backend, "FIN is carried")
		b.inner.backend.fail(syscall.ETIMEDOUT)
		wantReset(t, b.client, "the backend timed out before its answer was complete")
		wantEnded(t, b.proxy, BackendTimeout)

		b = newBench(t, kind, address, true)
		finish(t, b.backend)
		wantEOF(t, b.client, "FIN is carried")
		b.inner.client.fail(syscall.ETIMEDOUT)
		wantCut(t, b.backend, "the client timed out before its request was complete")
		wantEnded(t, b.proxy, ClientTimeout)
	})
}

// The side that sent FIN gets a RST from the other.
func TestRelayRSTAgainstFIN(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		if kind == "tcp" {
			finish(t, b.client)
			wantEOF(t, b.backend, "FIN is carried")
			b.backendDies(t)
		} else {
			say(t, b.client, "ab")
			finish(t, b.client)
			wantText(t, b.backend, "a")
			_ = b.backend.Close()
		}
		wantReset(t, b.client, "the answer was cut after the client's FIN")
		wantEnded(t, b.proxy, BackendReset)

		b = newBench(t, kind, address, false)
		finish(t, b.backend)
		wantEOF(t, b.client, "FIN is carried")
		rst(t, b.client)
		wantCut(t, b.backend, "the request was cut after the backend's FIN")
		wantEnded(t, b.proxy, ClientReset)
	})
}

// The side that sent FIN sends a RST next, while the other is quiet: no Read and no Write would tell.
func TestRelayRSTAfterFIN(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		finish(t, b.client)
		wantEOF(t, b.backend, "FIN is carried")
		rst(t, b.client)
		wantBroken(t, b.backend)
		wantEnded(t, b.proxy, ClientReset)

		if kind == "unix" {
			return // a UNIX backend has no RST to send after its FIN
		}
		b = newBench(t, kind, address, false)
		finish(t, b.backend)
		wantEOF(t, b.client, "FIN is carried")
		rst(t, b.backend)
		wantBroken(t, b.client)
		wantEnded(t, b.proxy, BackendReset)
	})
}

// wantBroken expects that conn, which has seen FIN, is reset. A UNIX socket learns it from its next Write.
func wantBroken(t *testing.T, conn net.Conn) {
	t.Helper()
	if tcp, ok := conn.(*net.TCPConn); ok && over(tcp) == nil {
		t.Fatal("want a RST after the FIN")
	}
	end := time.Now().Add(patience)
	for time.Now().Before(end) {
		if _, err := conn.Write([]byte("x")); isAny(err, syscall.EPIPE, syscall.ECONNRESET) {
			return
		}
	}
	t.Fatal("want Write to fail after the RST")
}

// A backend that refuses a request half-way closes with unread data: its answer arrives, then the RST.
func TestRelayCarriesTheAnswerBeforeTheRST(t *testing.T) {
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		say(t, b.client, "a long request")
		wantText(t, b.backend, "a")
		say(t, b.backend, "413 no")
		_ = b.backend.Close()
		wantText(t, b.client, "413 no")
		wantReset(t, b.client, "the backend did not read the request")
		wantEnded(t, b.proxy, BackendReset)
	})
}

func TestHiddenResetIsFound(t *testing.T) {
	for _, address := range families {
		l := listen(t, "tcp", address)
		near := connect(t, l)
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err = hiddenReset(near); err != nil {
			t.Fatalf("%v on a connection that is well", err)
		}
		rst(t, far)
		_ = over(near) // returns once the RST has arrived, and takes the error, as a Write would
		if n, err := near.Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("read %d, %v; want the EOF that hides the reset", n, err)
		}
		if err = hiddenReset(near); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("got %v, want the hidden ECONNRESET", err)
		}
	}
}

func TestRelayMakesNoFINOfAHiddenReset(t *testing.T) {
	for _, address := range families {
		l := listen(t, "tcp", address)
		near := connect(t, l)
		far, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		rst(t, far)
		_ = over(near) // takes the error, as a Write would
		client, nearClient := net.Pipe()
		pipe := &linePipe{Conn: nearClient, out: nearClient, over: make(chan struct{})}
		if r := newRelay(pipe, near, time.Hour, nil).run(); r != BackendReset || pipe.finished.Load() || !pipe.aborted.Load() {
			t.Fatalf("ended with %v, FIN %v, RST %v; want %v and a RST only", r, pipe.finished.Load(), pipe.aborted.Load(), BackendReset)
		}
		_ = client.Close()
	}
}

func TestRelayIsByteExactBothWaysAtOnce(t *testing.T) {
	const length = 16 << 20
	each(t, func(t *testing.T, kind, address string) {
		b := newBench(t, kind, address, false)
		sums := make(chan [2][]byte, 2)
		send := func(conn net.Conn, seed byte, sum io.Writer) {
			_, _ = io.CopyN(io.MultiWriter(conn, sum), rand.NewChaCha8([32]byte{seed}), length)
			_ = closeWrite(conn)
		}
		for i, pair := range [][2]net.Conn{{b.client, b.backend}, {b.backend, b.client}} {
			go func() {
				sent, got := sha256.New(), sha256.New()
				done := make(chan struct{})
				go func() { defer close(done); send(pair[0], byte(i), sent) }()
				_, _ = io.Copy(got, pair[1])
				<-done
				sums <- [2][]byte{sent.Sum(nil), got.Sum(nil)}
			}()
		}
		for range 2 {
			if s := <-sums; !bytes.Equal(s[0], s[1]) {
				t.Fatal("a stream was changed on its way")
			}
		}
		wantEnded(t, b.proxy, Finished)
	})
}
