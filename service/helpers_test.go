package service

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience ends a test that hangs; no test waits for it to pass.
const patience = 20 * time.Second

var families = []string{"127.0.0.1:0", "[::1]:0"}

// server is a service under test.
type server interface {
	Serve(context.Context, net.Listener) error
	Snapshot() Snapshot
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// unixSocket returns a path short enough for a socket.
func unixSocket(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "svc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

// start serves on l until the test ends, which must end Serve without an error.
func start(t *testing.T, s server, l net.Listener) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve ended with %v after its context ended, want nil", err)
		}
	})
}

func connect(t *testing.T, l net.Listener) *net.TCPConn {
	t.Helper()
	return dialTo(t, "tcp", l.Addr().String()).(*net.TCPConn)
}

func dialTo(t *testing.T, network, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return watched(t, conn)
}

func watched(t *testing.T, conn net.Conn) net.Conn {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatalf("write %q: %v", text, err)
	}
}

func wantText(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	n, err := io.ReadFull(conn, got)
	if err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got[:n], err, text)
	}
}

func wantEOF(t *testing.T, conn net.Conn, why string) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("read %d bytes, %v; want EOF: %s", n, err, why)
	}
}

func wantReset(t *testing.T, conn net.Conn, why string) {
	t.Helper()
	if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatalf("read %d bytes, %v; want ECONNRESET: %s", n, err, why)
	}
}

// rst makes the kernel send a RST.
func rst(t *testing.T, conn net.Conn) {
	t.Helper()
	if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
}

// wantEnded waits until the service has counted one end for r, and checks the identities of Snapshot.
func wantEnded(t *testing.T, s server, r Reason) {
	t.Helper()
	var got Snapshot
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = s.Snapshot(); got.Ended[r] == 1 && got.Active == 0 && got.Pending == 0 {
			wantIdentities(t, got)
			return
		}
	}
	t.Fatalf("want one connection ended with %v and none active, got %+v", r, got)
}

func wantIdentities(t *testing.T, s Snapshot) {
	t.Helper()
	var refused, ended uint64
	for r, n := range s.Ended {
		if Reason(r).Refusal() {
			refused += n
		} else {
			ended += n
		}
	}
	if s.Refused != refused || s.Accepted != uint64(s.Active)+ended {
		t.Fatalf("every connection must be counted once, got %+v", s)
	}
}

// linePipe is an end of a connection in memory that knows FIN and RST, for tests in virtual time.
type linePipe struct {
	net.Conn          // what is read
	out      net.Conn // what is written
	aborted  atomic.Bool
	finished atomic.Bool   // FIN was sent
	broken   atomic.Bool   // Write fails with EPIPE
	over     chan struct{} // closed to say that the connection failed
}

func newLinePipe() (*linePipe, *linePipe) {
	a, b := net.Pipe()
	c, d := net.Pipe()
	return &linePipe{Conn: a, out: c, over: make(chan struct{})}, &linePipe{Conn: d, out: b, over: make(chan struct{})}
}

func (p *linePipe) Write(b []byte) (int, error) {
	if p.broken.Load() {
		return 0, syscall.EPIPE
	}
	return p.out.Write(b)
}

// SetWriteDeadline concerns what is written, not what is read.
func (p *linePipe) SetWriteDeadline(t time.Time) error { return p.out.SetWriteDeadline(t) }

func (p *linePipe) Done() <-chan struct{} { return p.over }

func (p *linePipe) CloseWrite() error {
	p.finished.Store(true)
	return p.out.Close()
}

func (p *linePipe) SetLinger(sec int) error {
	p.aborted.Store(sec == 0)
	return nil
}

func (p *linePipe) Close() error {
	select {
	case <-p.over:
	default:
		close(p.over)
	}
	_ = p.out.Close()
	return p.Conn.Close()
}
