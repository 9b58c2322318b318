package tun

import (
	"sync"
	"sync/atomic"

	"tcpd/ip"
)

// Carrier is what an impaired link is made of: any of this package's links.
type Carrier interface {
	Name() string
	Queues() int
	MTU() int
	Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error
	Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error)
	Write(queue int, p *ip.Outgoing) error
	Close() error
	Stats() Stats
}

// Direction is the way of a packet, as the stack sees it.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// Observer is told of every segment, complete and by itself: of those that pass, when they are sent or delivered, and of
// those that an impairment drops. The packet is borrowed. It is called by several goroutines, with locks held: it must not
// call back.
type Observer func(d Direction, dropped bool, packet []byte)

// Impaired is a link that can be made worse than it is, and be watched. While it is neither it costs a load for each call
// and super-packets pass whole; otherwise they are cut into segments, which each meet their own fate. It owns the link below.
type Impaired struct {
	Carrier
	observe Observer
	state   atomic.Pointer[Impairment] // nil: not impaired
	out     []*lane
	writers []cutter
	queues  []inlet
}

// terms are what a lane goes by.
type terms struct {
	Impairment
	tellLost func(packet []byte)
}

// cutter makes single packets with complete checksums.
type cutter struct {
	mu        sync.Mutex
	segmenter ip.Segmenter
	flat      []byte
	emit      func(*ip.Outgoing) error
	to        *lane
}

// Impair puts an impaired link on top of another, not impaired at first. observe may be nil.
func Impair(l Carrier, observe Observer) *Impaired {
	n := l.Queues()
	x := &Impaired{Carrier: l, observe: observe, writers: make([]cutter, n), queues: make([]inlet, n)}
	for i := range n {
		x.out = append(x.out, newLane(func(b []byte) { x.pass(i, b) }))
		x.writers[i].start(x.out[i])
		x.queues[i].start(x, i)
	}
	return x
}

func (c *cutter) start(to *lane) {
	c.to = to
	c.emit = func(p *ip.Outgoing) error {
		c.flat = append(c.flat[:0], p.Header...)
		for _, b := range p.Payload {
			c.flat = append(c.flat, b...)
		}
		c.to.add(c.flat)
		return nil
	}
}

// cut lets each packet that p stands for enter the lane. It returns false for what is no packet.
func (c *cutter) cut(p *ip.Outgoing) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.segmenter.Split(p, c.emit) == nil
}

// Set changes the impairment, for both directions; the same one again changes nothing. Packets that wait keep their time, and those
// that come later their place behind them; all leave at once when it becomes none. A Read that blocks already takes one batch more
// as it comes.
func (x *Impaired) Set(i Impairment) error {
	if err := i.Check(); err != nil {
		return err
	}
	if i.Active() {
		x.state.Store(&i)
	} else {
		x.state.Store(nil)
	}
	for q := range x.queues {
		x.out[q].set(x.terms(i, Out), uint64(2*q))
		x.queues[q].lane.set(x.terms(i, In), uint64(2*q+1))
	}
	return nil
}

func (x *Impaired) terms(i Impairment, d Direction) *terms {
	if !i.Active() {
		return nil
	}
	return &terms{i, func(b []byte) {
		if x.observe != nil {
			x.observe(d, true, b)
		}
	}}
}

// Impairment returns what the link suffers.
func (x *Impaired) Impairment() Impairment {
	if i := x.state.Load(); i != nil {
		return *i
	}
	return Impairment{}
}

// meddles reports whether packets are looked at one by one.
func (x *Impaired) meddles() bool { return x.observe != nil || x.state.Load() != nil }

// Write sends a packet or super-packet.
func (x *Impaired) Write(queue int, p *ip.Outgoing) error {
	if !x.meddles() {
		return x.Carrier.Write(queue, p)
	}
	if !x.writers[queue].cut(p) {
		return x.Carrier.Write(queue, p) // which names what is wrong with it
	}
	return nil
}

// Longest returns how long a super-packet to a peer may be, in bytes.
func (x *Impaired) Longest(peer ip.Addr) int {
	if l, ok := x.Carrier.(interface{ Longest(ip.Addr) int }); ok && !x.meddles() {
		return l.Longest(peer)
	}
	return shortPacket
}

// pass sends what has come through the lane. The link's final error is told by Read.
func (x *Impaired) pass(queue int, b []byte) {
	if x.observe != nil {
		x.observe(Out, false, b)
	}
	network := ip.HeaderLen6
	if b[0]>>4 == 4 {
		network = ip.HeaderLen4
	}
	_ = x.Carrier.Write(queue, &ip.Outgoing{Header: b, NetworkLen: min(network, len(b))})
}

// Read blocks until there is a packet, then delivers up to max.
func (x *Impaired) Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error {
	if q := &x.queues[queue]; q.pumps() {
		return q.read(max, deliver)
	}
	return x.Carrier.Read(queue, max, deliver)
}

// Poll delivers up to max packets that are there and returns their number.
func (x *Impaired) Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	q := &x.queues[queue]
	switch {
	case !q.pumping.Load() && !x.meddles():
		return x.Carrier.Poll(queue, max, deliver)
	case !q.reading.TryLock():
		return 0, nil
	}
	defer q.reading.Unlock()
	return q.poll(max, deliver)
}

// Close closes the link below; what waits is lost.
func (x *Impaired) Close() error {
	for i := range x.queues {
		x.out[i].close()
		x.queues[i].lane.close()
	}
	return x.Carrier.Close()
}

// Fates counts what became of the packets that were looked at, in one direction.
func (x *Impaired) Fates(d Direction) (n [NumFates]uint64) {
	for i := range x.queues {
		l := x.out[i]
		if d == In {
			l = x.queues[i].lane
		}
		for f := range n {
			n[f] += l.fates[f].Load()
		}
	}
	return n
}
