package tun

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"tcpd/ip"
)

// Memory is one end of a link that exists only in memory. It keeps to the same contract as Device, needs no privilege and
// blocks on channels only, so that it works inside testing/synctest. Super-packets and partial checksums pass as they are.
type Memory struct {
	peer     *Memory
	mtu      atomic.Int64
	queues   []memoryQueue
	closed   chan struct{}
	closing  sync.Once
	counters counters
}

// memoryQueue holds the packets on their way to an end, and the buffers that await the next ones.
type memoryQueue struct {
	pending atomic.Int64
	reading sync.Mutex // held from the first packet of a Read or Poll to its last, and while Read waits
	packets chan memoryPacket
	spare   chan []byte
}

type memoryPacket struct {
	bytes   []byte
	offload ip.Offload
}

// NewMemory returns both ends of an in-memory link. Each end has the given number of queues, of depth packets each; a
// packet that finds its queue full is dropped and counted, as is one larger than mtu that is no super-packet.
func NewMemory(mtu, queues, depth int) (*Memory, *Memory) {
	a, b := newMemoryEnd(mtu, queues, depth), newMemoryEnd(mtu, queues, depth)
	a.peer, b.peer = b, a
	return a, b
}

func newMemoryEnd(mtu, queues, depth int) *Memory {
	m := &Memory{queues: make([]memoryQueue, max(queues, 1)), closed: make(chan struct{})}
	m.mtu.Store(int64(mtu))
	for i := range m.queues {
		m.queues[i].packets = make(chan memoryPacket, max(depth, 1))
		m.queues[i].spare = make(chan []byte, max(depth, 1))
	}
	return m
}

// Name returns what stands for the name of an interface.
func (m *Memory) Name() string { return "memory" }

// Queues returns the number of queues.
func (m *Memory) Queues() int { return len(m.queues) }

// MTU returns the largest packet in bytes that this end accepts from its user, super-packets aside.
func (m *Memory) MTU() int { return int(m.mtu.Load()) }

// SetMTU changes the MTU of this end.
func (m *Memory) SetMTU(mtu int) { m.mtu.Store(int64(mtu)) }

// Read implements the contract of a link: it blocks until the queue has a packet, then delivers up to max. After Close it
// returns an error that is os.ErrClosed.
func (m *Memory) Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error {
	q := &m.queues[queue]
	if m.isClosed() {
		return m.errClosed()
	}
	q.reading.Lock()
	defer q.reading.Unlock()
	select {
	case p := <-q.packets:
		m.hand(q, p, deliver)
	case <-m.closed:
		return m.errClosed()
	}
	_, err := m.drain(q, max-1, deliver)
	return err
}

// Poll delivers up to max packets that are there and returns their number; none while another goroutine reads.
func (m *Memory) Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	q := &m.queues[queue]
	if !q.reading.TryLock() {
		return 0, nil
	}
	defer q.reading.Unlock()
	return m.drain(q, max, deliver)
}

func (m *Memory) drain(q *memoryQueue, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	for n := 0; ; n++ {
		if m.isClosed() {
			return n, m.errClosed()
		}
		if n >= max {
			return n, nil
		}
		select {
		case p := <-q.packets:
			m.hand(q, p, deliver)
		default:
			return n, nil
		}
	}
}

func (m *Memory) hand(q *memoryQueue, p memoryPacket, deliver func([]byte, ip.Offload)) {
	m.counters.read(len(p.bytes), p.offload.SegmentSize != 0)
	deliver(p.bytes, p.offload)
	q.pending.Add(-1)
	select {
	case q.spare <- p.bytes:
	default:
	}
}

// Pending returns how many packets are on their way to the user of this end: those that were written at the other, and that
// no deliver has returned from.
func (m *Memory) Pending(queue int) int { return int(m.queues[queue].pending.Load()) }

// Write copies the packet into the queue of the other end that its flow hashes to; the queue named is of no importance.
func (m *Memory) Write(_ int, p *ip.Outgoing) error {
	if m.isClosed() {
		return m.errClosed()
	}
	size := p.Len()
	switch {
	case size == 0 || len(p.Header) == 0:
		m.counters.drop(WriteMalformed)
		return nil
	case size > maxPacket || size > m.MTU() && p.Offload.SegmentSize == 0:
		m.counters.drop(WriteTooLong)
		return nil
	}
	q := &m.peer.queues[flowHash(p.Header)%uint32(len(m.peer.queues))]
	b := q.buffer(size)
	b = append(b, p.Header...)
	for _, piece := range p.Payload {
		b = append(b, piece...)
	}
	q.pending.Add(1)
	select {
	case q.packets <- memoryPacket{b, p.Offload}:
		m.counters.wrote(size, p.Offload.SegmentSize != 0)
	default:
		q.pending.Add(-1)
		m.counters.drop(WriteFull)
	}
	return nil
}

// buffer returns an empty buffer with room for size bytes.
func (q *memoryQueue) buffer(size int) []byte {
	select {
	case b := <-q.spare:
		if cap(b) >= size {
			return b[:0]
		}
	default:
	}
	return make([]byte, 0, size)
}

// Close ends every Read of this end. The other end stays open; what it writes is lost, as behind a pulled cable.
func (m *Memory) Close() error {
	m.closing.Do(func() { close(m.closed) })
	return nil
}

// Stats returns what has passed this end.
func (m *Memory) Stats() Stats {
	var s Stats
	m.counters.addTo(&s)
	s.LinkUp = !m.isClosed()
	s.GSO = true
	return s
}

func (m *Memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

func (m *Memory) errClosed() error { return fmt.Errorf("in-memory link: %w", os.ErrClosed) }

// flowHash hashes addresses and, where they can be seen at once, ports. Both directions of a flow give the same value, so
// that it uses queues of the same number at both ends.
func flowHash(packet []byte) uint32 {
	var h uint32
	mix := func(a, b []byte) {
		for i := range len(a) / 2 {
			h = h*31 + uint32(binary.BigEndian.Uint16(a[2*i:])^binary.BigEndian.Uint16(b[2*i:]))
		}
	}
	transport := -1
	switch {
	case len(packet) >= ip.HeaderLen4 && packet[0]>>4 == 4:
		mix(packet[12:16], packet[16:20])
		if packet[9] == ip.ProtocolTCP && binary.BigEndian.Uint16(packet[6:])&0x3fff == 0 {
			transport = int(packet[0]&15) * 4
		}
	case len(packet) >= ip.HeaderLen6 && packet[0]>>4 == 6:
		mix(packet[8:24], packet[24:40])
		if packet[6] == ip.ProtocolTCP {
			transport = ip.HeaderLen6
		}
	}
	if transport >= 0 && len(packet) >= transport+4 {
		mix(packet[transport:transport+2], packet[transport+2:transport+4])
	}
	h ^= h >> 16
	h *= 0x7feb352d // Wellons' lowbias32: adjacent ports must not share a queue
	return h ^ h>>15
}
