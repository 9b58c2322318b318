package stack

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"tcpd/ip"
)

// maxPings bounds the echo requests that wait for an answer.
const maxPings = 4096

// pings are the echo requests that wait.
type pings struct {
	id      uint16
	next    atomic.Uint32
	waiting atomic.Int32 // how many: a reply is looked up only if somebody waits
	mu      sync.Mutex
	bySeq   map[uint16]ping
}

type ping struct {
	to   ip.Addr
	done chan struct{}
}

// Ping sends an ICMP echo request with a payload of size bytes and waits for the reply (RFC 1122, section 3.2.2.6; RFC
// 4443, section 4.1). It returns the time that took, or the error of ctx.
func (s *Stack) Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error) {
	to = to.Unmap()
	from, ok := s.addresses.source(to)
	switch {
	case !ok:
		return 0, errNoAddress
	case size < 0 || size+ip.EchoOverhead(to.Is4()) > s.link.MTU():
		return 0, fmt.Errorf("stack: a ping of %d bytes does not fit the MTU of %d", size, s.link.MTU())
	}
	seq := uint16(s.pings.next.Add(1))
	p := ping{ip.AddrFrom(to), make(chan struct{})}
	if !s.pings.add(seq, p) {
		return 0, fmt.Errorf("stack: %d pings wait for an answer already", maxPings)
	}
	defer s.pings.remove(seq)
	start := s.clock.Now()
	if err := s.sendEcho(ip.AddrFrom(from), p.to, seq, size); err != nil {
		return 0, err
	}
	select {
	case <-p.done:
		return s.clock.Now() - start, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-s.done:
		return 0, s.Err()
	}
}

func (s *Stack) sendEcho(from, to ip.Addr, seq uint16, size int) error {
	b := make([]byte, ip.EchoOverhead(to.Is4())+size)
	for i := range size {
		b[len(b)-size+i] = byte(i)
	}
	network := ip.PutEchoRequest(b, from, to, s.pings.id, seq)
	return s.link.Write(0, &ip.Outgoing{Header: b, NetworkLen: network})
}

func (p *pings) add(seq uint16, x ping) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, taken := p.bySeq[seq]; taken || len(p.bySeq) == maxPings {
		return false
	}
	p.bySeq[seq] = x
	p.waiting.Store(int32(len(p.bySeq)))
	return true
}

func (p *pings) remove(seq uint16) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.bySeq, seq)
	p.waiting.Store(int32(len(p.bySeq)))
}

// answered takes a reply and reports whether somebody waits for it. The first one counts.
func (p *pings) answered(from ip.Addr, id, seq uint16) bool {
	if id != p.id || p.waiting.Load() == 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	x, ok := p.bySeq[seq]
	if !ok || x.to != from {
		return false
	}
	select {
	case <-x.done:
		return false
	default:
		close(x.done)
		return true
	}
}
