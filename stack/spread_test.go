package stack_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"tcpd/ip"
	"tcpd/stack"
)

// tally is a link that counts what leaves by each queue.
type tally struct {
	stack.Link
	written [4]atomic.Uint64
}

func (l *tally) Write(queue int, p *ip.Outgoing) error {
	l.written[queue].Add(1)
	return l.Link.Write(queue, p)
}

// Packets leave by as many queues as they are told, also when that changes in mid-stream, while they arrive by all of them; nobody
// waits at those that are not written.
func TestSpread(t *testing.T) { synctest.Test(t, testSpread) }

func testSpread(t *testing.T) {
	var link tally
	p := newPair(t, 4, func(c *stack.Config) {
		link.Link = c.Link
		c.Link = &link
	})
	const streams, size = 8, 1 << 20
	want := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(want)
	for spread, told := range map[int]int{1: 0, 2: 2, 3: 3, 4: 9} {
		p.server.SetSpread(told)
		if got := p.server.Spread(); got != spread {
			t.Errorf("SetSpread(%d): packets leave by %d queues, want %d", told, got, spread)
		}
	}
	for _, spread := range []int{1, 2, 4, 1} {
		synctest.Wait() // for what is under way by the queues of before
		p.server.SetSpread(spread)
		var before [4]uint64
		for i := range before {
			before[i] = link.written[i].Load()
		}
		ended := make(chan error, streams)
		l := p.listen(":80", stack.ListenOptions{})
		for range streams {
			go func() {
				c := p.dial(families["IPv4"])
				defer c.Close()
				got, err := io.ReadAll(c)
				if err == nil && !bytes.Equal(got, want) {
					err = io.ErrUnexpectedEOF
				}
				ended <- err
			}()
			s, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				_, _ = s.Write(want)
				s.Close()
			}()
		}
		for range streams {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		l.Close()
		for i := spread; i < len(before); i++ {
			if n := link.written[i].Load() - before[i]; n > 0 {
				t.Errorf("%d packets left by queue %d of the first %d", n, i, spread)
			}
		}
	}
}
