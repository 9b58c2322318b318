package tun

import (
	"sync"
	"sync/atomic"

	"tcpd/ip"
)

// inletPackets is how many packets wait for the reader after their time has come, as in the ring of a device.
const inletPackets = 4096

// inlet is the way in of one queue while packets are looked at one by one: a goroutine reads the link below, the packets go
// through the lane, and Read takes them from there. The goroutine exists only while it is needed.
type inlet struct {
	link    *Impaired
	index   int
	lane    *lane
	pumping atomic.Bool
	cutter  cutter

	reading sync.Mutex    // held while packets are delivered
	wake    chan struct{} // one token: ready, err or pumping has changed

	mu    sync.Mutex // after that of the lane
	ready [][]byte   // from head on
	head  int
	spare [][]byte
	err   error
}

func (q *inlet) start(x *Impaired, index int) {
	q.link, q.index, q.wake = x, index, make(chan struct{}, 1)
	q.lane = newLane(q.arrive)
	q.cutter.start(q.lane)
}

// pumps reports whether packets come through the lane, and sees to it that they do. Called by who reads the queue.
func (q *inlet) pumps() bool {
	if q.pumping.Load() {
		return true
	}
	if !q.link.meddles() {
		q.mu.Lock()
		defer q.mu.Unlock()
		return q.head < len(q.ready)
	}
	q.pumping.Store(true)
	go q.pump()
	return true
}

// pump reads the link below until nothing is to be done to its packets any more, or it fails.
func (q *inlet) pump() {
	for q.link.meddles() {
		if err := q.link.Carrier.Read(q.index, 64, q.enter); err != nil {
			q.mu.Lock()
			q.err = err
			q.mu.Unlock()
			break
		}
	}
	q.pumping.Store(false)
	q.signal()
}

func (q *inlet) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// enter takes a packet from the link below. What passes the lane is complete: a bit that was flipped must be found out.
func (q *inlet) enter(packet []byte, o ip.Offload) {
	if p, ok := asOutgoing(packet, o); ok {
		if q.cutter.cut(&p) {
			return
		}
	}
	q.lane.add(packet)
}

// arrive takes a packet whose time has come.
func (q *inlet) arrive(packet []byte) {
	if x := q.link; x.observe != nil {
		x.observe(In, false, packet)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.ready)-q.head == inletPackets {
		q.lane.fates[FateQueueFull].Add(1)
		return
	}
	if q.head > inletPackets {
		q.ready, q.head = q.ready[:copy(q.ready, q.ready[q.head:])], 0
	}
	var b []byte
	if n := len(q.spare); n > 0 {
		b, q.spare = q.spare[n-1][:0], q.spare[:n-1]
	}
	q.ready = append(q.ready, append(b, packet...))
	q.signal()
}

// read waits for packets that have come through the lane.
func (q *inlet) read(max int, deliver func([]byte, ip.Offload)) error {
	for {
		q.reading.Lock()
		n, err := q.poll(max, deliver)
		q.reading.Unlock()
		if n > 0 || err != nil {
			return err
		}
		if !q.pumping.Load() {
			return q.link.Read(q.index, max, deliver) // nothing comes this way any more
		}
		<-q.wake
	}
}

// poll delivers what is ready; the lock for reading is held. An error comes after the last packet.
func (q *inlet) poll(max int, deliver func([]byte, ip.Offload)) (n int, err error) {
	for n < max {
		b, err := q.next()
		if b == nil {
			return n, err
		}
		deliver(b, ip.Offload{})
		q.mu.Lock()
		q.spare = append(q.spare, b)
		q.mu.Unlock()
		n++
	}
	return n, nil
}

func (q *inlet) next() ([]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.ready) {
		q.ready, q.head = q.ready[:0], 0
		return nil, q.err
	}
	b := q.ready[q.head]
	q.ready[q.head] = nil
	q.head++
	return b, nil
}

// asOutgoing describes a packet whose checksum, or segments, were left to us, such that they can be made. false: it is
// complete, or of a kind that the kernel leaves to nobody. Extension headers may lie before TCP, and padding behind it.
func asOutgoing(packet []byte, o ip.Offload) (p ip.Outgoing, ok bool) {
	if o.SegmentSize == 0 && o.Checksum != ip.ChecksumPartial {
		return p, false
	}
	var q ip.Packet
	if q.Parse(packet, o) != ip.DropNone || q.Fragment.IsFragment() {
		return p, false
	}
	n, field := 0, tcpChecksumOffset
	switch {
	case q.Protocol == ip.ProtocolTCP && len(q.Payload) >= tcpHeaderMin:
		n = int(q.Payload[12]>>4) * 4
	case q.Protocol == ip.ProtocolUDP && len(q.Payload) >= udpHeaderLen:
		n, field = udpHeaderLen, udpChecksumOffset
	}
	if n == 0 || len(q.Payload) < n {
		return p, false
	}
	o.Checksum = ip.ChecksumPartial
	network := len(q.Header)
	return ip.Outgoing{
		Header: packet[:network+n], Payload: [][]byte{q.Payload[n:]}, NetworkLen: network, ChecksumOffset: field, Offload: o,
	}, true
}
