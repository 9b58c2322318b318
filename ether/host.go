package ether

import (
	"fmt"
	"net/netip"
	"slices"

	"tcpd/ip"
)

// Time is an instant of the caller's clock, in nanoseconds.
type Time int64

const (
	millisecond = 1_000_000
	second      = 1000 * millisecond
	never       = Time(1<<63 - 1)
)

// Config says who a Host is.
type Config struct {
	MAC MAC
	// Addresses are the host's, each with the network that is on the link.
	Addresses []netip.Prefix
	// Whole are prefixes of which every address is answered for, without a check whether somebody else has one.
	Whole []netip.Prefix
	// Gateways lead to everybody else; at most one of each family. They must be on the link.
	Gateways []netip.Addr
	// Seed decides random delays.
	Seed uint64
}

// Check returns what is wrong with c.
func (c *Config) Check() error {
	if !c.MAC.Valid() {
		return fmt.Errorf("%v cannot be the MAC address of one interface", c.MAC)
	}
	if len(c.Addresses) == 0 {
		return fmt.Errorf("a host on an Ethernet needs an address with the length of its network's prefix")
	}
	for _, p := range slices.Concat(c.Addresses, c.Whole) {
		if !p.IsValid() || p.Addr().Is4In6() || !ip.AddrFrom(p.Addr()).Unicast() {
			return fmt.Errorf("%v is not an address of one host with the length of its network's prefix", p)
		}
	}
	var seen [2]netip.Addr
	for _, g := range c.Gateways {
		if !c.onLink(g) {
			return fmt.Errorf("the gateway %v is in no network of ours: it has to be reached without a gateway", g)
		}
		if c.own(g) {
			return fmt.Errorf("the gateway %v is one of our own addresses", g)
		}
		family := g.BitLen() / 128
		if seen[family].IsValid() {
			return fmt.Errorf("%v and %v are both gateways: there is one of each family", seen[family], g)
		}
		seen[family] = g
	}
	return nil
}

func (c *Config) onLink(a netip.Addr) bool {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Addr().Is6() })
	}
	return slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (c *Config) own(a netip.Addr) bool {
	return slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) ||
		slices.ContainsFunc(c.Whole, func(p netip.Prefix) bool { return p.Contains(a) })
}

// phase is where the host is in the check of its addresses.
type phase uint8

const (
	idle       phase = iota // not started
	probing                 // asking whether somebody has our addresses
	announcing              // nobody has; telling everybody
	settled
	refused // somebody has one of them
)

// Conflict is somebody else who has one of our addresses.
type Conflict struct {
	Addr ip.Addr
	MAC  MAC
	At   Time
}

// Host is one host of an Ethernet. Its methods are events in (Start, Arrive, Advance, Announce), application calls (Route,
// Hold, Ready, Conflict, Counters) and polls out (Poll, Deadline). After every event and every Hold the caller sends what Poll
// gives. It is used by one goroutine at a time.
type Host struct {
	cfg     Config
	own     map[ip.Addr]struct{}
	gateway [2]ip.Addr // of IPv4, of IPv6; zero: none
	random  random
	budget  budget

	phase    phase
	round    int  // of probes or announcements that were sent
	turn     Time // of the next one
	conflict Conflict
	defend   Time // an address is not defended before
	answer   Time // when to say which groups we are in

	table  table
	next   Time // no neighbor has an earlier deadline
	out    outbox
	packet ip.Packet

	counters Counters
}

// NewHost returns a host that has not started.
func NewHost(cfg Config) (*Host, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	h := &Host{
		cfg: cfg, own: make(map[ip.Addr]struct{}), random: random(cfg.Seed), next: never, turn: never, answer: never,
		budget: budget{saved: budgetFull}, table: table{index: make(map[ip.Addr]int)},
	}
	for _, p := range cfg.Addresses {
		h.own[ip.AddrFrom(p.Addr())] = struct{}{}
	}
	for _, g := range cfg.Gateways {
		h.gateway[g.BitLen()/128] = ip.AddrFrom(g)
	}
	return h, nil
}

// MAC returns the address of the host's interface.
func (h *Host) MAC() MAC { return h.cfg.MAC }

// Counters returns what has happened so far.
func (h *Host) Counters() Counters {
	c := h.counters
	c.Neighbors = len(h.table.index)
	return c
}

// Poll returns the next frame to send, borrowed until the next call of any method but Poll; nil when there is none.
func (h *Host) Poll() []byte { return h.out.poll() }

// Deadline returns when Advance has to be called at the latest.
func (h *Host) Deadline() Time { return min(h.next, h.turn, h.answer) }

// Advance does what is due.
func (h *Host) Advance(now Time) {
	if now >= h.turn {
		h.takeTurn(now)
	}
	if now >= h.answer {
		h.answer = never
		h.report(mldIsExclude)
	}
	if now >= h.next {
		h.advanceNeighbors(now)
	}
}

// isOwn reports whether a is answered for.
func (h *Host) isOwn(a ip.Addr) bool {
	if _, ok := h.own[a]; ok {
		return true
	}
	return len(h.cfg.Whole) > 0 && h.cfg.own(a.Netip())
}

// onLink reports whether a is reached without a gateway.
func (h *Host) onLink(a ip.Addr) bool { return h.cfg.onLink(a.Netip()) }

// source returns the address of ours to ask for another one from: in its network if there is one, else the first of the
// family.
func (h *Host) source(to ip.Addr) ip.Addr {
	n := to.Netip()
	var first netip.Addr
	for _, p := range h.cfg.Addresses {
		switch {
		case p.Contains(n):
			return ip.AddrFrom(p.Addr())
		case !first.IsValid() && p.Addr().Is4() == n.Is4():
			first = p.Addr()
		}
	}
	return ip.AddrFrom(first)
}

// random is a small generator for jitter (splitmix64).
type random uint64

// below returns a number from 0 to n-1.
func (r *random) below(n int64) Time {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return Time((z ^ z>>31) % uint64(n))
}
