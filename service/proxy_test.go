package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// held is an Attempt in memory, or on a connection that the kernel has accepted already.
type held struct {
	conn     net.Conn
	err      error // of Accept
	done     chan struct{}
	accepted chan struct{}
	rejected chan struct{}
	once     sync.Once
}

func hold(conn net.Conn) *held {
	return &held{conn: conn, done: make(chan struct{}), accepted: make(chan struct{}), rejected: make(chan struct{})}
}

func (h *held) LocalAddr() net.Addr   { return h.conn.LocalAddr() }
func (h *held) RemoteAddr() net.Addr  { return h.conn.RemoteAddr() }
func (h *held) Done() <-chan struct{} { return h.done }

func (h *held) Reject() {
	h.giveUp()
	close(h.rejected)
	reset(h.conn)
}

// giveUp is what happens when the client leaves.
func (h *held) giveUp() { h.once.Do(func() { close(h.done) }) }

func (h *held) Accept() (net.Conn, error) {
	close(h.accepted)
	return h.conn, h.err
}

// holding is an AttemptListener that is fed by a test.
type holding struct {
	*scripted
	attempts chan Attempt
}

func newHolding() holding { return holding{newScripted(), make(chan Attempt)} }

func (h holding) NextAttempt() (Attempt, error) {
	select {
	case a := <-h.attempts:
		return a, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

func (h holding) offer(a *held) *held {
	h.attempts <- a
	return a
}

func TestDeferredAcceptFollowsTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := newLinePipe()
		backend, nearBackend := newLinePipe()
		answer := make(chan struct{})
		p := &Proxy{To: "backend:80", Dial: func(context.Context, string, string) (net.Conn, error) {
			<-answer
			return nearBackend, nil
		}}
		l := newHolding()
		start(t, p, l)
		a := l.offer(hold(near))
		synctest.Wait()
		if closed(a.accepted) || p.Snapshot().Pending != 1 || p.Snapshot().Accepted != 0 {
			t.Fatal("the client must not be accepted before the backend answered")
		}
		close(answer)
		synctest.Wait()
		if !closed(a.accepted) || p.Snapshot().Pending != 0 || p.Snapshot().Active != 1 {
			t.Fatal("the client must be accepted once the backend answered")
		}
		say(t, client, "hi")
		wantText(t, backend, "hi")
		_ = client.CloseWrite()
		_ = backend.CloseWrite()
		synctest.Wait()
		wantIdentities(t, p.Snapshot())
	})
}

func TestDialFailuresRefuseTheClient(t *testing.T) {
	for err, want := range map[error]Reason{
		syscall.ECONNREFUSED: DialRefused, os.ErrNotExist: DialRefused, syscall.EHOSTUNREACH: DialUnreachable,
		syscall.ENETUNREACH: DialUnreachable, syscall.ETIMEDOUT: DialTimeout, syscall.EMFILE: DialDescriptors,
		syscall.ENFILE: DialDescriptors, errors.New("no such host"): DialFailed,
	} {
		synctest.Test(t, func(t *testing.T) {
			_, near := newLinePipe()
			p := &Proxy{To: "backend:80", Dial: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: err}
			}}
			l := newHolding()
			start(t, p, l)
			a := l.offer(hold(near))
			synctest.Wait()
			if !closed(a.rejected) || closed(a.accepted) || p.Snapshot().Ended[want] != 1 {
				t.Errorf("%v: rejected %v, accepted %v, %+v; want a refusal counted as %v",
					err, closed(a.rejected), closed(a.accepted), p.Snapshot(), want)
			}
			wantIdentities(t, p.Snapshot())
		})
	}
}

// blackHole is a backend that never answers.
func blackHole(ctx context.Context, _, _ string) (net.Conn, error) {
	<-ctx.Done()
	return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
}

func TestDialTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, near := newLinePipe()
		p := &Proxy{To: "backend:80", DialTimeout: 3 * time.Second, Dial: blackHole}
		l := newHolding()
		start(t, p, l)
		began := time.Now()
		a := l.offer(hold(near))
		<-a.rejected
		if waited := time.Since(began); waited != 3*time.Second {
			t.Errorf("refused after %v, want the dial timeout of 3 s", waited)
		}
		synctest.Wait()
		if p.Snapshot().Ended[DialTimeout] != 1 {
			t.Errorf("want %v counted: %+v", DialTimeout, p.Snapshot())
		}
	})
}

func TestADialEndsWhenTheClientGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, near := newLinePipe()
		p := &Proxy{To: "backend:80", Dial: blackHole}
		l := newHolding()
		start(t, p, l)
		began := time.Now()
		a := l.offer(hold(near))
		synctest.Wait()
		a.giveUp()
		synctest.Wait()
		if s := p.Snapshot(); s.Ended[ClientGaveUp] != 1 || s.Pending != 0 || time.Since(began) != 0 {
			t.Errorf("want the dial cancelled at once and counted: %+v", s)
		}
		wantIdentities(t, p.Snapshot())
	})
}

func TestABlackHoledBackendHoldsOnlyItsOwnPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hole := &Proxy{To: "backend:80", PendingDials: 2, Dial: blackHole}
		_, alive := newLinePipe()
		well := &Proxy{To: "backend:81", PendingDials: 2, Dial: func(context.Context, string, string) (net.Conn, error) {
			return alive, nil
		}}
		l, other := newHolding(), newHolding()
		start(t, hole, l)
		start(t, well, other)
		var attempts []*held
		for range 5 {
			_, near := newLinePipe()
			attempts = append(attempts, l.offer(hold(near)))
			synctest.Wait()
		}
		for i, a := range attempts {
			if closed(a.rejected) != (i >= 2) {
				t.Errorf("attempt %d: rejected %v; the first two wait, the others are refused at once", i, closed(a.rejected))
			}
		}
		if s := hole.Snapshot(); s.Ended[DialLimit] != 3 || s.Pending != 2 {
			t.Errorf("want 3 refused by the limit and 2 pending: %+v", s)
		}
		_, near := newLinePipe()
		a := other.offer(hold(near))
		synctest.Wait()
		if !closed(a.accepted) {
			t.Error("another backend must not notice")
		}
		_ = near.Close()
		time.Sleep(DefaultDialTimeout + time.Second)
		if s := hole.Snapshot(); s.Pending != 0 || s.Ended[DialTimeout] != 2 {
			t.Errorf("the places must come back with the timeout: %+v", s)
		}
		wantIdentities(t, hole.Snapshot())
	})
}

func TestAFailedHandshakeResetsTheBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, near := newLinePipe()
		_, nearBackend := newLinePipe()
		p := &Proxy{To: "backend:80", Dial: func(context.Context, string, string) (net.Conn, error) { return nearBackend, nil }}
		l := newHolding()
		start(t, p, l)
		a := hold(near)
		a.err = syscall.ETIMEDOUT
		l.offer(a)
		synctest.Wait()
		if s := p.Snapshot(); s.Ended[HandshakeFailed] != 1 || !nearBackend.aborted.Load() {
			t.Errorf("want the backend reset and %v counted: %+v", HandshakeFailed, s)
		}
		wantIdentities(t, p.Snapshot())
	})
}

func TestAFullBacklogOfAUNIXSocketIsWaitedOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, near := newLinePipe()
		_, nearBackend := newLinePipe()
		full := 4
		p := &Proxy{To: "unix:/run/app.sock", Dial: func(_ context.Context, network, address string) (net.Conn, error) {
			if network != "unix" || address != "/run/app.sock" {
				t.Errorf("dialled %s %s", network, address)
			}
			if full--; full >= 0 {
				return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.EAGAIN}
			}
			return nearBackend, nil
		}}
		l := newHolding()
		start(t, p, l)
		began := time.Now()
		a := l.offer(hold(near))
		<-a.accepted
		if waited := time.Since(began); waited != 15*time.Millisecond {
			t.Errorf("accepted after %v, want the pauses 1+2+4+8 ms", waited)
		}
		full = 1 << 30
		_, another := newLinePipe()
		<-l.offer(hold(another)).rejected
		synctest.Wait()
		if s := p.Snapshot(); s.Ended[DialTimeout] != 1 {
			t.Errorf("a backlog that stays full is a timeout: %+v", s)
		}
		_ = near.Close()
	})
}

func TestAPanicInADialCostsOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &Proxy{To: "backend:80", Dial: func(context.Context, string, string) (net.Conn, error) { panic("oh") }}
		l := newHolding()
		start(t, p, l)
		for range 2 {
			_, near := newLinePipe()
			<-l.offer(hold(near)).rejected
		}
		synctest.Wait()
		if s := p.Snapshot(); s.Refused != 2 || s.Pending != 0 {
			t.Errorf("want two refusals and no place lost: %+v", s)
		}
	})
}

// An outage is logged once, and its end. Without descriptors the backend is not to blame, and the machine is.
func TestTheLogNamesAnOutageOnce(t *testing.T) {
	for _, outage := range []struct {
		err        error
		level      Level
		begin, end string
	}{
		{syscall.ECONNREFUSED, Warn, "backend %s does not answer", "backend %s answers again"},
		{fmt.Errorf("socket: %w", syscall.EMFILE), Error, "no file descriptors left", "descriptors are free again"},
	} {
		synctest.Test(t, func(t *testing.T) {
			var lines []string
			var levels []Level
			fails := outage.err
			p := &Proxy{To: "backend:80", Log: func(level Level, f string, _ ...any) { lines, levels = append(lines, f), append(levels, level) },
				Dial: func(context.Context, string, string) (net.Conn, error) {
					if fails != nil {
						return nil, fails
					}
					_, conn := newLinePipe()
					return conn, nil
				}}
			l := newHolding()
			start(t, p, l)
			try := func() {
				_, near := newLinePipe()
				l.offer(hold(near))
				synctest.Wait()
				_ = near.Close()
				synctest.Wait()
			}
			try()
			try()
			fails = nil
			try()
			try()
			if len(lines) != 2 || !strings.Contains(lines[0], outage.begin) || !strings.Contains(lines[1], outage.end) {
				t.Errorf("want one line for the outage and one for its end, got %q", lines)
			}
			if !slices.Equal(levels, []Level{outage.level, Info}) {
				t.Errorf("the levels are %v, want %v and that of information", levels, outage.level)
			}
		})
	}
}

func TestAnOrdinaryListenerResetsWhenTheBackendIsDown(t *testing.T) {
	for _, address := range families {
		down := listen(t, "tcp", address)
		to := down.Addr().String()
		_ = down.Close()
		for _, to := range []string{to, "unix:" + unixSocket(t)} {
			p, l := &Proxy{To: to}, listen(t, "tcp", address)
			start(t, p, l)
			// The RST may be there before connect has returned.
			conn, err := net.Dial("tcp", l.Addr().String())
			if err == nil {
				wantReset(t, watched(t, conn), "the backend is down")
			} else if !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			wantEnded(t, p, DialRefused)
		}
	}
}

func TestProxyRecoversFromTooManyOpenFiles(t *testing.T) {
	back, l := listen(t, "tcp", families[0]), newHolding()
	p := &Proxy{To: back.Addr().String()}
	start(t, p, l)
	near, far := net.Pipe()
	defer func() { _ = far.Close() }()
	restore := exhaustDescriptors(t)
	a := l.offer(hold(near))
	<-a.rejected
	restore()
	if closed(a.accepted) {
		t.Error("without a descriptor for the backend, the client must be refused")
	}
	wantEnded(t, p, DialDescriptors)
	near, far = net.Pipe()
	a = l.offer(hold(near))
	<-a.accepted
	_ = far.Close()
}

// exhaustDescriptors lowers RLIMIT_NOFILE to what is open.
func exhaustDescriptors(t *testing.T) (restore func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	restore = func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &old) }
	t.Cleanup(restore)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return restore
}

func TestProxyProtocolReachesTheBackendFirst(t *testing.T) {
	for _, address := range families {
		for _, v := range []ProxyProtocol{ProxyProtocolV1, ProxyProtocolV2} {
			back, to := backendListener(t, "unix", address)
			p, l := &Proxy{To: to, ProxyProtocol: v}, listen(t, "tcp", address)
			start(t, p, l)
			client := connect(t, l)
			say(t, client, "hello")
			finish(t, client)
			conn, err := back.Accept()
			if err != nil {
				t.Fatal(err)
			}
			want := v.appendHeader(nil, addrPort(client.LocalAddr()), addrPort(client.RemoteAddr()))
			wantText(t, watched(t, conn), string(want)+"hello")
			wantEOF(t, conn, "FIN is carried")
		}
	}
}

func TestProxyRejectsABadAddress(t *testing.T) {
	for _, to := range []string{"", "localhost", ":80", "127.0.0.1:", "unix:", "::1:80"} {
		l := newScripted()
		err := (&Proxy{To: to}).Serve(t.Context(), l)
		if err == nil || !strings.Contains(err.Error(), "write ") || !l.once.Load() {
			t.Errorf("%q: got %v, listener closed %v; want an error that shows how to write it", to, err, l.once.Load())
		}
	}
}
