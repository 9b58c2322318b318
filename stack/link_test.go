package stack_test

import (
	"bytes"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"tcpd/ip"
	"tcpd/stack"
)

// hangingLink is a link whose first Write tells hung and does not return before resume is closed.
type hangingLink struct {
	stack.Link
	once         sync.Once
	hung, resume chan struct{}
}

func (l *hangingLink) Write(queue int, p *ip.Outgoing) error {
	l.once.Do(func() { close(l.hung) })
	<-l.resume
	return l.Link.Write(queue, p)
}

// scatter is an end of a link that puts each packet on another queue than the one before, so that half of them arrive on a
// queue that is not the owner's, out of order as a matter of course.
type scatter struct {
	queues []chan scattered
	peer   *scatter
	next   atomic.Uint32
	once   sync.Once
	closed chan struct{}
}

type scattered struct {
	bytes   []byte
	offload ip.Offload
}

func newScatter(queues int) (*scatter, *scatter) {
	var ends [2]*scatter
	for i := range ends {
		ends[i] = &scatter{closed: make(chan struct{})}
		for range queues {
			ends[i].queues = append(ends[i].queues, make(chan scattered, 1024))
		}
	}
	ends[0].peer, ends[1].peer = ends[1], ends[0]
	return ends[0], ends[1]
}

func (l *scatter) Queues() int { return len(l.queues) }
func (l *scatter) MTU() int    { return 1500 }

func (l *scatter) Read(queue, _ int, deliver func([]byte, ip.Offload)) error {
	select {
	case p := <-l.queues[queue]:
		deliver(p.bytes, p.offload)
		return nil
	case <-l.closed:
		return os.ErrClosed
	}
}

func (l *scatter) Poll(queue, max int, deliver func([]byte, ip.Offload)) (n int, err error) {
	for ; n < max; n++ {
		select {
		case p := <-l.queues[queue]:
			deliver(p.bytes, p.offload)
		default:
			return n, nil
		}
	}
	return n, nil
}

func (l *scatter) Write(_ int, o *ip.Outgoing) error {
	b := bytes.Clone(o.Header)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	select {
	case l.peer.queues[int(l.next.Add(1))%len(l.queues)] <- scattered{b, o.Offload}:
	default: // full: lost, as on any network
	}
	return nil
}

func (l *scatter) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Packets come by foreign queues and are handed to the shard that owns their flow.
func TestForeignQueues(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			a, b := newScatter(3)
			p := newPair(t, 3, func(c *stack.Config) { c.Link = a }, func(c *stack.Config) { c.Link = b })
			l := p.listen(addr, stack.ListenOptions{})
			var work sync.WaitGroup
			for range 6 {
				c := p.dial(addr)
				s := accept(t, l)
				work.Go(func() {
					io.Copy(struct{ io.Writer }{s}, struct{ io.Reader }{s})
					s.Close()
				})
				work.Go(func() {
					checkEcho(t, c, 1<<20)
					c.Close()
				})
			}
			work.Wait()
		})
	}
}
