package stack_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
)

// eachWay runs f in bubbles of virtual time, with each family's address of the server and with so many queues that packets come
// by: see newPair.
func eachWay(t *testing.T, f func(t *testing.T, addr string, queues int)) {
	eachLayout(t, func(t *testing.T, addr string, queues int) {
		synctest.Test(t, func(t *testing.T) { f(t, addr, queues) })
	})
}

// eachLayout is eachWay in the time of the machine.
func eachLayout(t *testing.T, f func(t *testing.T, addr string, queues int)) {
	for family, addr := range families {
		for _, queues := range []int{1, 2, 4} {
			t.Run(fmt.Sprintf("%s, queues %d", family, queues), func(t *testing.T) { f(t, addr, queues) })
		}
	}
}

func wantError(t *testing.T, what string, err error, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("%s: error %v, want one that is %v", what, err, target)
	}
}

// TestCloseWrite_wakesWrite: a Write that waits for a peer who does not read waits for nothing then.
func TestCloseWrite_wakesWrite(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := newPair(t, 1).connect(addr)
				failed := make(chan error, 1)
				go func() {
					_, err := c.Write(make([]byte, 256<<20))
					failed <- err
				}()
				time.Sleep(time.Minute)
				if err := c.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				wantError(t, "the Write that waited", <-failed, syscall.EPIPE)
				c.SetLinger(0)
				c.Close()
			})
		})
	}
}

func TestHalfClose(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, s := newPair(t, queues).connect(addr)
		mustWrite(t, c, "question")
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(s); string(got) != "question" || err != nil {
			t.Fatalf("server read %q, %v", got, err)
		}
		mustWrite(t, s, "answer") // the other half is open still
		s.Close()
		if got, err := io.ReadAll(c); string(got) != "answer" || err != nil {
			t.Fatalf("client read %q, %v", got, err)
		}
		_, err := c.Write([]byte("x"))
		wantError(t, "Write after CloseWrite", err, syscall.EPIPE)
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		wantError(t, "second Close", c.Close(), net.ErrClosed)
	})
}

func TestReset(t *testing.T) {
	tests := map[string]func(t *testing.T, s *stack.Conn){
		"linger 0": func(t *testing.T, s *stack.Conn) {
			if err := s.SetLinger(0); err != nil {
				t.Fatal(err)
			}
		},
		"unread bytes": func(*testing.T, *stack.Conn) {}, // RFC 2525, section 2.17
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, addr string, queues int) {
				c, s := newPair(t, queues).connect(addr)
				mustWrite(t, c, "never read")
				synctest.Wait()
				prepare(t, s)
				s.Close()
				_, err := c.Read(make([]byte, 1))
				wantError(t, "Read", err, syscall.ECONNRESET)
				_, err = c.Write([]byte("x"))
				wantError(t, "Write", err, syscall.ECONNRESET)
			})
		})
	}
}

func TestBytesBeforeResetAreRead(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, s := newPair(t, queues).connect(addr)
		mustWrite(t, s, "last words")
		synctest.Wait()
		s.SetLinger(0)
		s.Close()
		synctest.Wait()
		mustRead(t, c, "last words")
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read", err, syscall.ECONNRESET)
	})
}

func TestCloseUnblocks(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, _ := newPair(t, queues).connect(addr)
		errs := make(chan error)
		for range 3 { // more than one reader may wait
			go func() {
				_, err := c.Read(make([]byte, 1))
				errs <- err
			}()
		}
		go func() {
			_, err := c.Write(make([]byte, 64<<20))
			errs <- err
		}()
		synctest.Wait()
		c.Close()
		for range 4 {
			wantError(t, "blocked call", <-errs, net.ErrClosed)
		}
		_, err := c.Read(nil)
		wantError(t, "Read after Close", err, net.ErrClosed)
		wantError(t, "SetDeadline after Close", c.SetDeadline(time.Time{}), net.ErrClosed)
	})
}

func TestDeadlines(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, s := newPair(t, queues).connect(addr)
		start := time.Now()
		c.SetReadDeadline(start.Add(3 * time.Second))
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read", err, os.ErrDeadlineExceeded)
		if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Read: %v is no timeout", err)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("Read returned after %v, the deadline was 3s", d)
		}
		if n, err := c.Read(nil); n != 0 || err != nil {
			t.Errorf("an empty Read: %d, %v; package net asks no deadline for it", n, err)
		}
		c.SetWriteDeadline(start.Add(10 * time.Second))
		n, err := c.Write(make([]byte, 64<<20))
		wantError(t, "Write", err, os.ErrDeadlineExceeded)
		if n == 0 || time.Since(start) != 10*time.Second {
			t.Errorf("Write returned %d after %v, want a part after 10s", n, time.Since(start))
		}
		c.SetDeadline(time.Time{})
		mustWrite(t, s, "x")
		mustRead(t, c, "x")
	})
}

func TestDeadlineMovedWhileBlocked(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		c, _ := newPair(t, queues).connect(addr)
		start := time.Now()
		c.SetReadDeadline(start.Add(time.Second))
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		c.SetReadDeadline(start.Add(5 * time.Second)) // later
		time.Sleep(2 * time.Second)
		select {
		case err := <-done:
			t.Fatalf("Read returned %v before the deadline that was moved", err)
		default:
		}
		c.SetReadDeadline(start.Add(-time.Second)) // past: at once
		wantError(t, "Read", <-done, os.ErrDeadlineExceeded)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("Read returned after %v, want 2s", d)
		}
	})
}

// Writes of several goroutines do not mix.
func TestWritesAreWhole(t *testing.T) {
	eachLayout(t, testWritesAreWhole)
}

func testWritesAreWhole(t *testing.T, addr string, queues int) {
	c, s := newPair(t, queues, noDelay, noDelay).connect(addr)
	const size, writers = 1 << 20, 4
	for i := range writers {
		go func() {
			b := []byte(strings.Repeat(string(rune('a'+i)), size))
			if _, err := c.Write(b); err != nil {
				t.Errorf("Write: %v", err)
			}
		}()
	}
	got := make([]byte, writers*size)
	if _, err := io.ReadFull(s, got); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(got); i += size {
		if n := strings.Count(string(got[i:i+size]), string(got[i])); n != size {
			t.Errorf("megabyte %d holds %d bytes of its writer, want all", i/size, n)
		}
	}
}

// A stream both ways with a link that loses nothing, larger than any buffer.
func TestEchoBulk(t *testing.T) {
	eachLayout(t, func(t *testing.T, addr string, queues int) {
		c, s := newPair(t, queues).connect(addr)
		go func() {
			io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
			s.Close()
		}()
		checkEcho(t, c, 16<<20)
	})
}

// checkEcho writes n bytes to c and compares what returns. It may be called by any goroutine.
func checkEcho(t *testing.T, c *stack.Conn, n int) {
	t.Helper()
	pattern := make([]byte, 1<<16+7)
	for i := range pattern {
		pattern[i] = byte(i * 7 >> 3)
	}
	go func() {
		for left := n; left > 0; {
			k, err := c.Write(pattern[:min(left, len(pattern))])
			if err != nil {
				t.Errorf("Write: %v", err)
				return
			}
			left -= k
		}
		c.CloseWrite()
	}()
	got := make([]byte, len(pattern))
	for left := n; left > 0; {
		k := min(left, len(pattern))
		if _, err := io.ReadFull(c, got[:k]); err != nil {
			t.Errorf("with %d bytes left: %v", left, err)
			return
		}
		if string(got[:k]) != string(pattern[:k]) {
			t.Errorf("with %d bytes left: other bytes than were sent", left)
			return
		}
		left -= k
	}
	if n, err := c.Read(got); n != 0 || err != io.EOF {
		t.Errorf("Read = %d, %v after all is read, want EOF", n, err)
	}
}

func TestSettings(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		c, s := p.connect(addr)
		for what, err := range map[string]error{
			"SetNoDelay":         c.SetNoDelay(true),
			"SetKeepAlive":       c.SetKeepAlive(true),
			"SetKeepAliveConfig": c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Minute, Interval: time.Second, Count: 3}),
			"SetUserTimeout":     c.SetUserTimeout(time.Minute),
			"SetLinger":          c.SetLinger(-1),
			"SetTTL":             c.SetTTL(9),
			"SetTrafficClass":    c.SetTrafficClass(0x28),
		} {
			if err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
		if i := s.Info(); i.State != tcp.Established || i.MSS == 0 {
			t.Errorf("Info: state %v, MSS %d", i.State, i.MSS)
		}
		for _, f := range s.Describe() {
			if f[0] == "" || f[1] == "" {
				t.Errorf("Describe: empty field in %q", f)
			}
		}
		// The server vanishes: three probes, a second apart, after a minute.
		p.ends[0].Close()
		start := time.Now()
		_, err := c.Read(make([]byte, 1))
		wantError(t, "Read", err, syscall.ETIMEDOUT)
		if d := time.Since(start); d < time.Minute || d > 70*time.Second {
			t.Errorf("the peer's silence was noticed after %v", d)
		}
	})
}

// An idle connection costs the stack no goroutine.
func TestIdleConnections(t *testing.T) {
	p := newPair(t, 2)
	l := p.listen(":80", stack.ListenOptions{})
	first := p.dial(families["IPv4"])
	accept(t, l)
	before := runtime.NumGoroutine()
	const n = 1000
	conns := []*stack.Conn{first}
	for range n {
		c := p.dial(families["IPv4"])
		s := accept(t, l)
		mustWrite(t, c, "x")
		mustRead(t, s, "x")
		conns = append(conns, c, s)
	}
	if now := runtime.NumGoroutine(); now > before+4 { // a timer may be running just now
		t.Errorf("%d goroutines with one connection, %d with %d", before, now, n)
	}
	if st := p.server.Stats(); st.Connections != n+1 {
		t.Errorf("the server counts %d connections, want %d", st.Connections, n+1)
	}
	for _, c := range conns {
		c.Close()
	}
}

// What connections were charged comes back, to the last byte, once they are over.
func TestMemoryReturns(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		for range 20 {
			c := p.dial(addr)
			s := accept(t, l)
			go c.Write(make([]byte, 1<<20))
			if _, err := io.ReadFull(s, make([]byte, 1<<20)); err != nil {
				t.Fatal(err)
			}
			c.Close()
			mustEOF(t, s)
			s.Close()
		}
		if st := p.server.Stats(); st.MemoryPeak == 0 {
			t.Error("nothing was charged")
		}
		time.Sleep(5 * time.Minute) // virtual; TIME-WAIT ends
		for who, s := range map[string]*stack.Stack{"server": p.server, "client": p.client} {
			st := s.Stats()
			if st.MemoryUsed != 0 || st.Connections != 0 || st.TimeWait != 0 || st.HalfOpen != 0 {
				t.Errorf("%s: %d bytes, %d connections, %d in TIME-WAIT, %d half-open are left", who, st.MemoryUsed,
					st.Connections, st.TimeWait, st.HalfOpen)
			}
		}
	})
}

// Done tells of a reset that came before the connection was accepted, with what was sent before it still to be read.
func TestDone_resetBeforeAccept(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		c := p.dial(addr)
		mustWrite(t, c, "hi")
		synctest.Wait() // on another queue the reset might overtake it
		c.SetLinger(0)
		c.Close()
		synctest.Wait()
		s := accept(t, l)
		select {
		case <-s.Done():
		default:
			t.Error("a connection that was reset is not done")
		}
		mustRead(t, s, "hi")
		s.Close()
	})
}

// Done tells of a reset to who does not read, and of Close; not of FIN.
func TestDone(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		p := newPair(t, queues)
		l := p.listen(addr, stack.ListenOptions{})
		over := func(c *stack.Conn) bool {
			synctest.Wait()
			select {
			case <-c.Done():
				return true
			default:
				return false
			}
		}
		c := p.dial(addr)
		s := accept(t, l)
		s.CloseWrite()
		if over(c) {
			t.Error("FIN ends the connection")
		}
		s.SetLinger(0)
		s.Close()
		if !over(c) || !over(s) {
			t.Error("a reset, or Close, does not end the connection")
		}
	})
}
