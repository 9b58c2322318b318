package tcp

import (
	"testing"

	"tcpd/ip"
)

// bottleneck is a path from a sender to a receiver, with a queue before a link of a rate, random loss behind it, and a delay.
// Super-packets arrive as packets. Acknowledgements come back through a delay only.
type bottleneck struct {
	testing.TB
	now       Time
	rate      int64 // bytes per second
	queue     int64 // bytes
	delay     Duration
	back      int64    // the same of acknowledgements
	loss      int64    // of 10,000 packets
	late      int64    // the same of packets, and of acknowledgements, that are overtaken
	extra     Duration // by how much later they are
	stall     Duration // now and then nothing arrives for as long
	nextStall Time
	stalled   Time
	burst     int // most bytes that left at one instant after start
	dice      random

	tables    [2]*Table
	sender    *Conn
	receiver  *Conn
	wires     [2][]flying
	free      Time // when the link is free
	left      Time
	leaving   int
	sent      int // packets offered, and lost in the queue
	overflows int
	received  int
	split     ip.Segmenter
	data      []byte
	rest      int  // bytes to write; negative: no end
	full      bool // no more can be written before the sender says so
	check     bool
}

func newBottleneck(t testing.TB, o Options) *bottleneck {
	t.Helper()
	return newBottleneckDelay(t, o, 20*Millisecond)
}

// newBottleneckDelay is the same on a path of another length, which the handshake measures.
func newBottleneckDelay(t testing.TB, o Options, delay Duration) *bottleneck {
	t.Helper()
	b := &bottleneck{TB: t, now: Time(Second), rate: 12_500_000, queue: 250_000, delay: delay, dice: 1, data: make([]byte, 1<<16), rest: -1}
	for i := range b.tables {
		b.tables[i] = NewTable(Config{Secret: [16]byte{byte(i + 1)}, Seed: uint64(i)})
	}
	l, err := b.tables[1].Listen(ip.Addr{}, flow4.RemotePort, ListenOptions{Options: o})
	if err == nil {
		b.sender, err = b.tables[0].Connect(b.now, flow4, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	rest := b.rest
	b.rest = 0
	for b.receiver == nil && b.step() {
		b.receiver = b.tables[1].Accept(l)
	}
	b.rest = rest
	return b
}

// run goes on for d and returns how many bytes arrived in that time.
func (b *bottleneck) run(d Duration) int {
	b.Helper()
	before := b.received
	b.until(b.now.Add(d), func() bool { return false })
	return b.received - before
}

// until goes on until done, or end, and reports which.
func (b *bottleneck) until(end Time, done func() bool) bool {
	b.Helper()
	for b.now < end {
		if done() {
			return true
		}
		b.apply()
		if !b.step() {
			b.now = end
		}
	}
	return done()
}

func (b *bottleneck) info() Info { return b.tables[0].Info(b.now, b.sender) }

// due is when something happens next.
func (b *bottleneck) due() Time {
	next := min(b.tables[0].Deadline(), b.tables[1].Deadline())
	for _, w := range b.wires {
		if len(w) > 0 {
			next = min(next, w[0].at)
		}
	}
	return next
}

func (b *bottleneck) step() bool {
	b.flush()
	next := b.due()
	if next == Never {
		return false
	}
	b.now = max(b.now, next)
	for i, t := range b.tables {
		t.Advance(b.now)
		for len(b.wires[i]) > 0 && b.wires[i][0].at <= b.now {
			b.arrive(t, b.wires[i][0])
			b.wires[i] = b.wires[i][1:]
			b.acknowledge()
		}
	}
	b.apply()
	b.flush()
	for i, t := range b.tables {
		for _, e := range t.Events() {
			b.full = b.full && e.Kind != EventWritable
		}
		if b.check {
			if err := t.Check(); err != nil {
				b.Fatalf("end %d: %v", i, err)
			}
		}
	}
	return true
}

func (b *bottleneck) arrive(t *Table, f flying) {
	var p ip.Packet
	if d := p.Parse(f.b, f.o); d != 0 {
		b.Fatal(d)
	}
	t.Arrive(b.now, &p)
}

// apply is what the applications do: one writes whenever it is told that it can, the other reads.
func (b *bottleneck) apply() {
	for b.rest != 0 && !b.full {
		k := len(b.data)
		if b.rest > 0 {
			k = min(k, b.rest)
		}
		n, err := b.tables[0].Write(b.now, b.sender, b.data[:k])
		if err != nil {
			b.Fatal(err)
		}
		if b.rest > 0 {
			b.rest -= n
		}
		b.full = n < k
	}
	for b.receiver != nil {
		n, err := b.tables[1].Read(b.now, b.receiver, b.data)
		if err != nil {
			b.Fatal(err)
		}
		b.received += n
		if n == 0 {
			break
		}
	}
}

// acknowledge lets the receiver's segments leave, as after each packet that a kernel takes.
func (b *bottleneck) acknowledge() {
	var out ip.Outgoing
	for b.tables[1].Poll(b.now, &out) {
		if b.dice.below(10_000) < b.back {
			continue
		}
		p, o := flatten(&out)
		b.fly(0, flying{b.overtaken(b.now.Add(b.delay / 2)), p, o})
	}
}

func (b *bottleneck) flush() {
	var out ip.Outgoing
	b.acknowledge()
	for b.tables[0].Poll(b.now, &out) {
		if b.left != b.now {
			b.left, b.leaving = b.now, 0
		}
		b.leaving += out.Len()
		b.burst = max(b.burst, b.leaving)
		if err := b.split.Split(&out, b.offer); err != nil {
			b.Fatal(err)
		}
	}
}

// offer puts a packet into the queue.
func (b *bottleneck) offer(out *ip.Outgoing) error {
	b.sent++
	n := int64(out.Len())
	if waits := int64(max(b.free.Sub(b.now), 0)) * b.rate / int64(Second); waits+n > b.queue {
		b.overflows++
		return nil
	}
	b.free = max(b.free, b.now).Add(Duration(n * int64(Second) / b.rate))
	if b.dice.below(10_000) < b.loss {
		return nil
	}
	p, o := flatten(out)
	at := b.free.Add(b.delay / 2)
	if b.stall > 0 && at >= b.nextStall {
		b.stalled = at.Add(Duration(b.dice.below(int64(b.stall))))
		b.nextStall = at.Add(5 * b.stall)
	}
	b.fly(1, flying{b.overtaken(max(at, b.stalled)), p, o})
	return nil
}

func (b *bottleneck) overtaken(at Time) Time {
	if b.late > 0 && b.dice.below(10_000) < b.late {
		return at.Add(b.extra)
	}
	return at
}

// fly puts a packet on its way, behind all that arrive before it.
func (b *bottleneck) fly(to int, f flying) {
	w := append(b.wires[to], f)
	for i := len(w) - 1; i > 0 && f.at < w[i-1].at; i-- {
		w[i], w[i-1] = w[i-1], w[i]
	}
	b.wires[to] = w
}
