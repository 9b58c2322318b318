package stack_test

import (
	"io"
	"testing"

	"tcpd/service"
	"tcpd/stack"
)

// transfer returns a function that moves n bytes from one stack to the other.
func transfer(t testing.TB, n int) func() {
	p := newPair(t, 1, noDelay, noDelay)
	c, s := p.connect(families["IPv4"])
	out, in := make([]byte, n), make([]byte, n)
	work, done := make(chan struct{}), make(chan struct{})
	go func() {
		for range work {
			if _, err := io.ReadFull(s, in); err != nil {
				t.Errorf("Read: %v", err)
			}
			done <- struct{}{}
		}
	}()
	t.Cleanup(func() { close(work) })
	return func() {
		work <- struct{}{}
		if _, err := c.Write(out); err != nil {
			t.Errorf("Write: %v", err)
		}
		<-done
	}
}

// echoed returns a function that sends n bytes to the echo service, which is served by calls, and reads them back.
func echoed(t testing.TB, n int) func() {
	p := newPair(t, 1, noDelay, noDelay)
	l := p.listen(":80", stack.ListenOptions{})
	go (&service.Echo{}).Serve(t.Context(), l)
	c := p.dial(families["IPv4"])
	out, in := make([]byte, n), make([]byte, n)
	work := make(chan struct{})
	go func() {
		for range work {
			if _, err := c.Write(out); err != nil {
				t.Errorf("Write: %v", err)
			}
		}
	}()
	t.Cleanup(func() { close(work) })
	return func() {
		work <- struct{}{}
		if _, err := io.ReadFull(c, in); err != nil {
			t.Errorf("Read: %v", err)
		}
	}
}

// Moving data costs far less than an allocation for each packet once buffers have grown.
func TestAllocations(t *testing.T) {
	for what, move := range map[string]func(){"net.Conn": transfer(t, 1<<20), "by calls, there and back": echoed(t, 1<<20)} {
		for range 50 {
			move()
		}
		// A megabyte is some 20 super-packets and as many acknowledgements.
		if n := testing.AllocsPerRun(100, move); n > 20 {
			t.Errorf("%s: %v allocations for a megabyte", what, n)
		}
	}
}

func BenchmarkBulk(b *testing.B) {
	const n = 1 << 20
	move := transfer(b, n)
	b.SetBytes(n)
	b.ReportAllocs()
	for b.Loop() {
		move()
	}
}

// BenchmarkExchange is one byte there and back.
func BenchmarkExchange(b *testing.B) {
	p := newPair(b, 1, noDelay, noDelay)
	c, s := p.connect(families["IPv4"])
	go io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Write(buf); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkConnect is the life of a connection: open, a byte each way, close.
func BenchmarkConnect(b *testing.B) {
	p := newPair(b, 1, noDelay, noDelay)
	l := p.listen(":80", stack.ListenOptions{})
	go func() {
		for {
			s, err := l.Accept()
			if err != nil {
				return
			}
			io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
			s.Close()
		}
	}()
	buf := make([]byte, 1)
	b.ReportAllocs()
	for b.Loop() {
		c := p.dial(families["IPv4"])
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
		c.SetLinger(0)
		c.Close()
	}
}
