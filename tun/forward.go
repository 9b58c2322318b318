package tun

import (
	"sync"
	"sync/atomic"
	"time"

	"tcpd/ip"
)

// Forwarder moves packets between two links, both ways, as a router between them does that changes nothing in them: what
// comes from one goes out by the other. Super-packets pass whole where the other link takes them. A packet that is larger
// than the other link's MTU is answered with an ICMP message that says so (RFC 1191, section 4; RFC 4443, section 3.2).
type Forwarder struct {
	links    [2]Carrier
	tooBig   atomic.Uint64
	withheld atomic.Uint64
	began    time.Time

	mu      sync.Mutex // guards answers
	answers *ip.TokenBucket
}

// ICMP messages are sent at this rate at most, as the stack's errors are (icmp_msgs_per_sec and icmp_msgs_burst of Linux): "a node
// MUST limit the rate of ICMPv6 error messages that it originates" (RFC 4443, section 2.4 (f)).
const (
	answerRate  = 1000 // per second, both ways
	answerBurst = 50
)

// Forward makes a Forwarder of two links, which it owns.
func Forward(a, b Carrier) *Forwarder {
	now := time.Now()
	return &Forwarder{links: [2]Carrier{a, b}, began: now, answers: ip.NewTokenBucket(answerRate, answerBurst, uint64(now.UnixNano()))}
}

// Run moves packets until Close, or until one of the links fails, and returns why.
func (f *Forwarder) Run() error {
	failed := make(chan error, 2)
	for from := range f.links {
		for queue := range f.links[from].Queues() {
			go func() { failed <- f.move(from, queue) }()
		}
	}
	err := <-failed
	_ = f.Close()
	return err
}

// Close closes both links.
func (f *Forwarder) Close() error {
	_ = f.links[0].Close()
	return f.links[1].Close()
}

// TooBig returns how many packets did not fit.
func (f *Forwarder) TooBig() uint64 { return f.tooBig.Load() }

// Withheld returns how many of these were not answered, because too many were.
func (f *Forwarder) Withheld() uint64 { return f.withheld.Load() }

// mayAnswer reports whether one more ICMP message may be sent.
func (f *Forwarder) mayAnswer() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers.Take(int64(time.Since(f.began)))
}

// move reads one queue of a link.
func (f *Forwarder) move(from, queue int) error {
	l, to := f.links[from], f.links[1-from]
	w := mover{to: to, back: l, queue: queue, f: f}
	for w.err == nil {
		if err := l.Read(queue, 64, w.take); err != nil {
			return err
		}
	}
	return w.err
}

// mover is one way of one queue.
type mover struct {
	f        *Forwarder
	to, back Carrier
	queue    int
	packet   ip.Packet
	reply    [ip.MaxICMPError]byte
	err      error
}

func (m *mover) take(b []byte, o ip.Offload) {
	p, ok := asOutgoing(b, o)
	if !ok {
		p = ip.Outgoing{Header: b, NetworkLen: min(ip.HeaderLen4, len(b))}
	}
	size := len(b)
	if s := int(o.SegmentSize); s != 0 {
		size = min(size, len(p.Header)+s)
	}
	if mtu := m.to.MTU(); size > mtu {
		m.tooLarge(b, o, mtu)
		return
	}
	m.err = m.to.Write(m.queue%m.to.Queues(), &p)
}

// tooLarge tells the sender, from the address that the packet was for: the forwarder has none.
func (m *mover) tooLarge(b []byte, o ip.Offload, mtu int) {
	m.f.tooBig.Add(1)
	o.Checksum = ip.ChecksumVouched
	if m.packet.Parse(b, o) != ip.DropNone {
		return
	}
	n, ok := ip.PutUnreachable(m.reply[:], ip.PacketTooBig, m.packet.Dst, &m.packet, mtu)
	switch {
	case !ok:
	case !m.f.mayAnswer():
		m.f.withheld.Add(1)
	default:
		m.err = m.back.Write(m.queue, &ip.Outgoing{Header: m.reply[:n], NetworkLen: min(ip.HeaderLen4, n)})
	}
}
