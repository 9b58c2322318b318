package stack_test

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tun"
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

// stray is an end of a link in memory whose packets come by any queue: each stays with the queue of the one before, or takes
// another at random, so that most arrive on a queue that is not their owner's, and overtake each other there.
type stray struct {
	queues []*tun.Memory // a link of one queue each
	pulled atomic.Bool

	mu     sync.Mutex
	random *rand.Rand
	stays  int // of so many packets one changes the queue
	at     int // the queue that the next packet takes unless it changes
}

// newStray returns both ends of a link. The seed decides which way the packets take; with one queue there is only one.
func newStray(mtu, queues, depth int, seed uint64) (*stray, *stray) {
	var ends [2]*stray
	for i := range ends {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		ends[i] = &stray{random: r, stays: [...]int{1, 2, 8}[r.IntN(3)]}
	}
	for range queues {
		a, b := tun.NewMemory(mtu, 1, depth)
		ends[0].queues, ends[1].queues = append(ends[0].queues, a), append(ends[1].queues, b)
	}
	return ends[0], ends[1]
}

func (l *stray) Queues() int           { return len(l.queues) }
func (l *stray) MTU() int              { return l.queues[0].MTU() }
func (l *stray) Pending(queue int) int { return l.queues[queue].Pending(0) }

func (l *stray) SetMTU(mtu int) {
	for _, q := range l.queues {
		q.SetMTU(mtu)
	}
}

func (l *stray) Read(queue, max int, deliver func([]byte, ip.Offload)) error {
	return l.queues[queue].Read(0, max, deliver)
}

func (l *stray) Poll(queue, max int, deliver func([]byte, ip.Offload)) (int, error) {
	return l.queues[queue].Poll(0, max, deliver)
}

func (l *stray) Write(queue int, o *ip.Outgoing) error {
	if l.pulled.Load() {
		return os.ErrClosed
	}
	return l.queues[l.choose(queue)].Write(0, o)
}

// choose takes a queue for a packet that was written to one of ours.
func (l *stray) choose(queue int) int {
	if len(l.queues) == 1 {
		return queue
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.random.IntN(l.stays) == 0 {
		l.at = l.random.IntN(len(l.queues))
	}
	return l.at
}

// Close pulls the cable, which takes all queues at once: the reader of the first to end ends the stack, and no last word of that
// may leave by the others.
func (l *stray) Close() (err error) {
	l.pulled.Store(true)
	for _, q := range l.queues {
		err = errors.Join(err, q.Close())
	}
	return err
}

// Packets come by foreign queues and are handed to the shard that owns their flow.
func TestForeignQueues(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 3)
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
					checkEcho(t, c, 4<<20)
					c.Close()
				})
			}
			work.Wait()
			for end, l := range p.ends {
				for i, q := range l.queues {
					if n := q.Stats().Read.Packets; n == 0 {
						t.Errorf("no packet has come by queue %d of end %d", i, end)
					}
				}
			}
		})
	}
}
