package tun

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// laneBuffer is the size of a packet's buffer, unless the packet is larger.
	laneBuffer = 2048
	// mostKept is how many bytes of buffers wait in a lane at most: 65,536 packets of up to 2048 bytes, or 0.8 s of a Gbit/s of full
	// packets. A delay of an hour must not take all memory.
	mostKept = 128 << 20
	// mostSpare is how many buffers are kept for the next packets.
	mostSpare = 4096
)

// lane is one direction of an impaired link: packets wait in it for the time at which they leave.
type lane struct {
	fates [NumFates]atomic.Uint64

	mu       sync.Mutex
	now      func() time.Duration
	dice     *rand.Rand
	terms    *terms // nil: everything passes
	busy     time.Duration
	last     time.Duration // when the latest packet leaves that keeps the order
	waiting  held
	kept     int // bytes of the buffers of what waits
	sequence uint64
	timer    *time.Timer
	spare    [][]byte
	closed   bool
	// leave takes a packet that the lane lets go. It is called with the lock held, and borrows the packet.
	leave func(packet []byte)
}

// heldPacket waits for its time. Those of the same time leave in the order in which they came.
type heldPacket struct {
	at       time.Duration
	sequence uint64
	packet   []byte
}

type held []heldPacket

func (h held) Len() int { return len(h) }
func (h held) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].sequence < h[j].sequence
}
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *held) Push(x any)   { *h = append(*h, x.(heldPacket)) }
func (h *held) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = heldPacket{}
	*h = (*h)[:last]
	return x
}

func newLane(leave func([]byte)) *lane {
	start := time.Now()
	return &lane{now: func() time.Duration { return time.Since(start) }, leave: leave}
}

// set changes the terms. The same terms again change nothing, and others neither the order of packets nor when the rate is free:
// what waits keeps its time. It leaves at once when there are no terms any more.
func (l *lane) set(t *terms, stream uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case t == nil:
		l.end()
	case l.terms == nil || l.terms.Impairment != t.Impairment:
		l.terms, l.dice = t, rand.New(rand.NewPCG(t.Seed, stream))
	}
}

// end lets everything go, and gives the memory back.
func (l *lane) end() {
	for len(l.waiting) > 0 {
		l.release()
	}
	l.terms, l.busy, l.last, l.waiting, l.spare = nil, 0, 0, nil, nil
}

// add lets a packet enter, which is borrowed.
func (l *lane) add(packet []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.terms
	switch {
	case l.closed || len(packet) == 0:
	case t == nil || !t.covers(packet):
		l.fates[FatePassed].Add(1)
		l.leave(packet)
	default:
		l.decide(t, packet)
	}
}

// decide draws the fate of a packet. Only what is not lost takes a place at the rate.
func (l *lane) decide(t *terms, packet []byte) {
	lot, at := t.draw(l.dice, len(packet)), l.now()
	if lot.copies > 0 && l.kept >= mostKept {
		lot.fate, lot.copies = FateQueueFull, 0
	}
	if lot.copies > 0 && t.Rate > 0 {
		begin := max(at, l.busy)
		if int((begin-at).Seconds()*t.Rate/8)+len(packet) > t.queue() {
			lot.fate, lot.copies = FateQueueFull, 0
		} else {
			l.busy = begin + time.Duration(float64(8*len(packet))/t.Rate*float64(time.Second))
			at = l.busy
		}
	}
	l.fates[lot.fate].Add(1)
	if lot.copies == 0 {
		t.tellLost(packet)
		return
	}
	l.hold(packet, lot, at)
}

// hold keeps a packet until its time, or lets it go if that is now and nothing is before it.
func (l *lane) hold(packet []byte, lot lot, at time.Duration) {
	at += lot.delay
	if lot.hold == 0 {
		at = max(at, l.last)
		l.last = at
	}
	at += lot.hold
	for range lot.copies {
		b := append(l.buffer(), packet...)
		if lot.bit >= 0 {
			b[lot.bit/8] ^= 1 << (lot.bit % 8)
		}
		l.sequence++
		l.kept += cap(b)
		heap.Push(&l.waiting, heldPacket{at, l.sequence, b})
	}
	l.run()
}

// run lets go what is due, and has itself called for the next.
func (l *lane) run() {
	now := l.now()
	for len(l.waiting) > 0 && l.waiting[0].at <= now {
		l.release()
	}
	if len(l.waiting) == 0 {
		return
	}
	wait := l.waiting[0].at - now
	if l.timer == nil {
		l.timer = time.AfterFunc(wait, l.fire)
		return
	}
	l.timer.Reset(wait)
}

func (l *lane) fire() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.run()
	}
}

// release lets the first packet go.
func (l *lane) release() {
	h := heap.Pop(&l.waiting).(heldPacket)
	l.kept -= cap(h.packet)
	l.leave(h.packet)
	if len(l.spare) < mostSpare {
		l.spare = append(l.spare, h.packet[:0])
	}
}

func (l *lane) buffer() []byte {
	if n := len(l.spare); n > 0 {
		b := l.spare[n-1]
		l.spare = l.spare[:n-1]
		return b
	}
	return make([]byte, 0, laneBuffer)
}

// close drops what waits, as a pulled cable does.
func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.waiting = true, nil
	if l.timer != nil {
		l.timer.Stop()
	}
}
