package stack

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"tcpd/ip"
	"tcpd/tcp"
)

// slowLink is a link whose reader is held up: after each packet that it hands over, delay passes, and then happens what is put
// down in between. What the stack sends is kept.
type slowLink struct {
	queues  int
	clock   *time.Duration
	delay   time.Duration
	between func(i int) // after packet i of a read
	waiting [][]byte
	sent    []tcp.View
}

func (l *slowLink) Queues() int                                   { return l.queues }
func (l *slowLink) MTU() int                                      { return 1500 }
func (l *slowLink) Close() error                                  { return nil }
func (l *slowLink) Read(int, int, func([]byte, ip.Offload)) error { return os.ErrClosed }

func (l *slowLink) Poll(_, max int, deliver func([]byte, ip.Offload)) (int, error) {
	n := min(len(l.waiting), max)
	batch := l.waiting[:n]
	l.waiting = l.waiting[n:]
	for i, b := range batch {
		deliver(b, ip.Offload{Checksum: ip.ChecksumPartial})
		*l.clock += l.delay
		if l.between != nil {
			l.between(i)
		}
	}
	return n, nil
}

func (l *slowLink) Write(_ int, o *ip.Outgoing) error {
	b := append([]byte(nil), o.Header...)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	var p ip.Packet
	var v tcp.View
	if d := p.Parse(b, o.Offload); d != ip.DropNone {
		return fmt.Errorf("the stack sent what does not parse: %v", d)
	}
	v.Parse(&p)
	l.sent = append(l.sent, v)
	return nil
}

// slow is a stack on a slow link, with one connection.
type slow struct {
	*slowLink
	testing.TB
	stack *Stack
	conn  *Conn
	ours  tcp.Seq // number of our next byte
	peer  ip.Addr
	own   ip.Addr
}

func newSlow(t testing.TB, queues int, own, peer string) *slow {
	now := time.Second
	l := &slowLink{queues: queues, clock: &now}
	s, err := newStack(Config{
		Link: l, Clock: stopped{&now}, Secret: [16]byte{1}, Seed: 1, Options: tcp.Options{NoDelay: true},
		Addresses: []netip.Prefix{netip.MustParsePrefix(own)},
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &slow{
		slowLink: l, TB: t, stack: s, peer: ip.AddrFrom(netip.MustParseAddr(peer)),
		own: ip.AddrFrom(netip.MustParsePrefix(own).Addr()),
	}
	listener, err := s.ListenTCP(netip.MustParseAddrPort("[::]:7"), ListenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w.arrives(tcp.SYN, 1000, 0)
	w.read(s.loops[0])
	w.ours = w.sent[0].Seq + 1
	now += 10 * time.Millisecond
	w.arrives(tcp.ACK, 1001, w.ours)
	w.read(s.loops[0])
	c, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	w.conn = c.(*Conn)
	return w
}

// arrives puts a segment of the peer on the link. A SYN permits SACK.
func (w *slow) arrives(flags tcp.Flags, seq, ack tcp.Seq) {
	var options []byte
	if flags&tcp.SYN != 0 {
		options = []byte{4, 2, 1, 1}
	}
	h := ip.Header{Src: w.peer, Dst: w.own, Protocol: ip.ProtocolTCP, PayloadLen: 20 + len(options)}
	b := make([]byte, h.Len()+20, h.Len()+20+len(options))
	t := b[h.Put(b):]
	b = append(b, options...)
	binary.BigEndian.PutUint16(t, 4000)
	binary.BigEndian.PutUint16(t[2:], 7)
	binary.BigEndian.PutUint32(t[4:], uint32(seq))
	binary.BigEndian.PutUint32(t[8:], uint32(ack))
	t[12], t[13] = byte(5+len(options)/4)<<4, byte(flags)
	binary.BigEndian.PutUint16(t[14:], 65535)
	w.waiting = append(w.waiting, b)
}

// acked has everything acknowledged that was sent so far.
func (w *slow) acked() { w.arrives(tcp.ACK, 1001, w.ours) }

// write sends n bytes.
func (w *slow) write(n int) {
	if _, err := w.conn.Write(make([]byte, n)); err != nil {
		w.Fatal(err)
	}
	w.ours = w.ours.Add(n)
}

// read is a turn of a reader.
func (w *slow) read(r *reader) {
	r.begin()
	n, _ := r.stack.link.Poll(r.queue, batch, r.deliver)
	if r.packets = n; n == batch {
		r.readOn()
	}
	r.finish()
}

// paths are the ways on which a packet can reach its shard.
var paths = map[string]func(w *slow){
	"reader":        func(w *slow) { w.read(w.stack.loops[w.conn.shard.index]) },
	"foreign queue": func(w *slow) { w.read(w.stack.loops[1-w.conn.shard.index]) },
	"guest":         func(w *slow) { w.stack.guests[w.conn.shard.index].read() },
}

var ends = map[string][2]string{"IPv4": {"10.77.0.2/24", "10.77.0.1"}, "IPv6": {"fd77::2/64", "fd77::1"}}

// TestArrival_delayed: the reader is held up for 0.5 to 15 ms after each packet that it has read, on every path a packet can
// take. What was read together has arrived together: no round trip seems longer for it.
func TestArrival_delayed(t *testing.T) {
	for path, read := range paths {
		for family, e := range ends {
			for _, delay := range []time.Duration{500 * time.Microsecond, 4 * time.Millisecond, 15 * time.Millisecond} {
				t.Run(fmt.Sprint(path, "/", family, "/", delay), func(t *testing.T) {
					w := newSlow(t, 2, e[0], e[1])
					for range 5 {
						for range 4 {
							w.write(100)
							w.acked()
						}
						*w.clock += 10 * time.Millisecond
						w.delay = delay
						read(w)
						w.delay = 0
					}
					i := w.conn.Info()
					if got := time.Duration(i.RTT); got != 10*time.Millisecond || i.MinRTT != i.RTT || i.Unacked != 0 {
						t.Errorf("round trips of 10 ms measure %v, at least %v, and %d bytes are under way", got, time.Duration(i.MinRTT), i.Unacked)
					}
				})
			}
		}
	}
}

// TestArrival_sentMeanwhile: while the reader is held up between two packets of a read, the application sends and the peer
// answers. That acknowledgement was not there when the clock was read: it must not pass for a round trip of no time, which
// would stay the shortest for ever.
func TestArrival_sentMeanwhile(t *testing.T) {
	for path, read := range paths {
		for family, e := range ends {
			t.Run(path+"/"+family, func(t *testing.T) {
				w := newSlow(t, 2, e[0], e[1])
				w.write(100)
				w.acked()
				*w.clock += 10 * time.Millisecond
				w.delay = 15 * time.Millisecond
				late := len(w.waiting)
				w.arrives(tcp.ACK, 1001, w.ours.Add(50))
				w.between = func(i int) {
					if i == late-1 {
						w.between = nil
						w.write(50)
					}
				}
				read(w)
				if i := w.conn.Info(); i.MinRTT != tcp.Duration(10*time.Millisecond) || i.RTT != i.MinRTT || i.Unacked != 0 {
					t.Errorf("%v, at least %v, %d bytes under way; want 10 ms", time.Duration(i.RTT), time.Duration(i.MinRTT), i.Unacked)
				}
			})
		}
	}
}

// TestArrival_nextRead: a turn reads on while the queue is not empty, and each read has its own time: an acknowledgement that a
// later one brings has not arrived with the first.
func TestArrival_nextRead(t *testing.T) {
	for family, e := range ends {
		t.Run(family, func(t *testing.T) {
			w := newSlow(t, 1, e[0], e[1])
			for range batch {
				w.acked() // old ones: a batch full
			}
			w.arrives(tcp.ACK, 1001, w.ours.Add(50))
			w.delay = 4 * time.Millisecond
			w.between = func(i int) {
				if i == 2 { // 20 ms before the next read
					w.between = nil
					w.write(50)
				}
			}
			w.read(w.stack.loops[0])
			// SRTT <- 7/8 * 10 ms, of the handshake, + 1/8 * 20 ms (RFC 6298, (2.3)).
			i := w.conn.Info()
			if i.MinRTT != tcp.Duration(10*time.Millisecond) || i.RTT != tcp.Duration(11250*time.Microsecond) || i.Unacked != 0 {
				t.Errorf("%v, at least %v, %d bytes under way; want 11.25 ms, at least 10 ms", time.Duration(i.RTT), time.Duration(i.MinRTT), i.Unacked)
			}
		})
	}
}

// TestArrival_answerLeavesLater: what a slow turn sends leaves when it does, not when its cause arrived.
func TestArrival_answerLeavesLater(t *testing.T) {
	for family, e := range ends {
		t.Run(family, func(t *testing.T) {
			w := newSlow(t, 1, e[0], e[1])
			w.write(30_000) // more than the window: acknowledgements let the rest leave
			w.arrives(tcp.ACK, 1001, w.ours-tcp.Seq(30_000-10_000))
			*w.clock += 10 * time.Millisecond
			w.delay = 15 * time.Millisecond
			w.read(w.stack.loops[0])
			w.delay = 0
			*w.clock += 10 * time.Millisecond
			w.acked()
			w.read(w.stack.loops[0])
			if i := w.conn.Info(); time.Duration(i.RTT) != 10*time.Millisecond {
				t.Errorf("round trips of 10 ms measure %v", time.Duration(i.RTT))
			}
		})
	}
}

// TestArrival_beforeTimers: a busy machine has let the reader wait for longer than the timers: when they run, the acknowledgement
// lies on the link, behind other packets. Nothing is sent again for it.
func TestArrival_beforeTimers(t *testing.T) {
	for family, e := range ends {
		for _, c := range []struct {
			name string
			wait time.Duration
		}{{"loss probe", 250 * time.Millisecond}, {"time-out", 3 * time.Second}} {
			for _, before := range []int{0, 40} {
				t.Run(fmt.Sprint(family, "/", c.name, "/", before), func(t *testing.T) {
					w := newSlow(t, 1, e[0], e[1])
					w.write(100)
					for range before {
						w.arrives(tcp.ACK, 1001, w.ours.Add(-100))
					}
					w.acked()
					*w.clock += c.wait
					sent := len(w.sent)
					w.conn.shard.fire()
					if i := w.conn.Info(); len(w.sent) != sent || i.Unacked != 0 || i.LossProbes != 0 || i.Timeouts != 0 {
						t.Errorf("%d packets left, %d loss probes, %d time-outs, %d bytes under way",
							len(w.sent)-sent, i.LossProbes, i.Timeouts, i.Unacked)
					}
					w.write(100)
					*w.clock += 3 * time.Second
					sent = len(w.sent)
					w.conn.shard.fire()
					if len(w.sent) == sent {
						t.Error("without an acknowledgement nothing is sent again")
					}
				})
			}
		}
	}
}
