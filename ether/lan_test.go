package ether

import (
	"fmt"
	"net/netip"
	"testing"

	"tcpd/ip"
)

// lan is an Ethernet in virtual time: every frame reaches every other host at once.
type lan struct {
	t     *testing.T
	now   Time
	hosts []*station
	wire  []string // what was sent, as text
	drop  func(from *station, frame []byte) bool
}

// station is a host of the lan, and what it was given.
type station struct {
	*Host
	got []string // payloads of the packets delivered
}

func mac(n byte) MAC { return MAC{2, 0, 0, 0, 0, n} }

func addr(s string) ip.Addr { return ip.AddrFrom(netip.MustParseAddr(s)) }

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func newLAN(t *testing.T) *lan { return &lan{t: t} }

// add adds a host with MAC n, which checks its addresses from now on.
func (l *lan) add(n byte, addresses ...string) *station {
	return l.addConfig(Config{MAC: mac(n), Addresses: prefixes(addresses...), Seed: uint64(n)})
}

func (l *lan) addConfig(c Config) *station {
	l.t.Helper()
	h, err := NewHost(c)
	if err != nil {
		l.t.Fatal(err)
	}
	s := &station{Host: h}
	l.hosts = append(l.hosts, s)
	s.Start(l.now)
	return s
}

// run lets time pass.
func (l *lan) run(d Time) {
	end := l.now + d
	for {
		l.carry()
		next := end
		for _, s := range l.hosts {
			next = min(next, max(s.Deadline(), l.now))
		}
		l.now = next
		if next == end {
			return
		}
		for _, s := range l.hosts {
			s.Advance(l.now)
		}
	}
}

// carry brings frames over until nobody says anything.
func (l *lan) carry() {
	for busy := true; busy; {
		busy = false
		for _, from := range l.hosts {
			for f := from.Poll(); f != nil; f = from.Poll() {
				busy = true
				l.deliver(from, append([]byte(nil), f...))
			}
		}
	}
}

func (l *lan) deliver(from *station, frame []byte) {
	l.wire = append(l.wire, fmt.Sprintf("%d.%03d %s", l.now/second, l.now%second/millisecond, describe(frame)))
	if l.drop != nil && l.drop(from, frame) {
		return
	}
	for _, to := range l.hosts {
		if to == from {
			continue
		}
		if p := to.Arrive(l.now, frame); p != nil {
			to.got = append(to.got, string(p[packetHeader(p):]))
		}
	}
}

func packetHeader(p []byte) int {
	if p[0]>>4 == 6 {
		return ip.HeaderLen6
	}
	return ip.HeaderLen4
}

// inject lets a frame arrive at s only.
func (l *lan) inject(s *station, frame []byte) {
	s.Arrive(l.now, frame)
	l.carry()
}

// send lets a station send a packet.
func (l *lan) send(from *station, to, text string) Loss {
	dst := addr(to)
	p := packetTo(from.source(dst), dst, text)
	m, known, loss := from.Route(l.now, dst)
	switch {
	case loss != Sent:
		return loss
	case known:
		frame := append(make([]byte, HeaderLen), p...)
		PutHeader(frame, m, from.MAC(), p)
		l.deliver(from, frame)
	default:
		loss = from.Hold(l.now, dst, p)
	}
	l.carry()
	return loss
}

func packetTo(src, dst ip.Addr, text string) []byte {
	h := ip.Header{Src: src, Dst: dst, Protocol: 253, PayloadLen: len(text)}
	b := make([]byte, h.Len())
	h.Put(b)
	return append(b, text...)
}

// describe puts a frame into words.
func describe(f []byte) string {
	to := fmt.Sprintf("%v > %v ", MAC(f[6:]), MAC(f))
	var a arp
	var p ip.Packet
	var m neighborMessage
	switch b := f[HeaderLen:]; {
	case f[12] == 8 && f[13] == 6 && a.parse(b) == Accepted:
		return to + fmt.Sprintf("arp %d %v is %v, %v is %v", a.op, a.sender, a.senderMAC, a.target, a.targetMAC)
	case p.Parse(b, ip.Offload{}) != ip.DropNone:
		return to + "?"
	case isND(&p) && m.parse(&p) == Accepted && m.advertisement:
		return to + fmt.Sprintf("na %v is %v", m.target, m.mac)
	case p.Protocol == ip.ProtocolICMPv6 && p.Payload[0] == mldReport && p.TransportChecksumOK():
		return to + fmt.Sprintf("report %x", p.Payload[mldHeaderLen:])
	case isND(&p):
		return to + fmt.Sprintf("ns from %v for %v", p.Src, m.target)
	}
	return to + fmt.Sprintf("%v > %v", p.Src, p.Dst)
}

// explain prints the conversation when the test has failed.
func (l *lan) explain() {
	if l.t.Failed() {
		for _, s := range l.wire {
			l.t.Log(s)
		}
	}
	for _, s := range l.hosts {
		checkCounters(l.t, s.Host)
	}
}

// checkCounters wants every frame to have exactly one end, and every held packet.
func checkCounters(t testing.TB, h *Host) {
	t.Helper()
	c := h.Counters()
	sum := c.Delivered + c.Handled
	for _, n := range c.Drops {
		sum += n
	}
	if sum != c.FramesIn {
		t.Errorf("%d frames arrived and %d have an end: %+v", c.FramesIn, sum, c)
	}
	waiting := uint64(0)
	for i := range h.table.slots {
		if h.table.slots[i].held != nil {
			waiting++
		}
	}
	if lost := c.Losses[NoNeighbor] + c.Losses[Evicted] + c.Losses[Overtaken]; c.Held != c.Released+lost+waiting {
		t.Errorf("%d packets were held, %d sent, %d lost, %d wait", c.Held, c.Released, lost, waiting)
	}
	if c.Neighbors > maxNeighbors {
		t.Errorf("%d neighbors", c.Neighbors)
	}
}
