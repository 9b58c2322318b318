package ether

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tcpd/ip"
)

var pairs = []struct{ name, a, b, bits string }{
	{"IPv4", "10.0.0.1", "10.0.0.2", "/24"}, {"IPv6", "fd00::1", "fd00::2", "/64"},
}

// settledLAN returns two hosts that have checked their addresses.
func settledLAN(t *testing.T, a, b string) (l *lan, first, second2 *station) {
	l = newLAN(t)
	first, second2 = l.add(1, a), l.add(2, b)
	l.run(20 * second)
	l.wire = nil
	t.Cleanup(l.explain)
	if !first.Ready() || !second2.Ready() {
		t.Fatal("the check of the addresses is not over after 20 s")
	}
	return l, first, second2
}

func (l *lan) want(why string, holds bool) {
	l.t.Helper()
	if !holds {
		l.t.Error(why)
	}
}

func (l *lan) said(part string) int {
	n := 0
	for _, s := range l.wire {
		if strings.Contains(s, part) {
			n++
		}
	}
	return n
}

func TestResolve(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, b := settledLAN(t, p.a+p.bits, p.b+p.bits)
			l.send(a, p.b, "one")
			l.send(a, p.b, "two")
			l.want("the packet that waited comes first, then the other", slices.Equal(b.got, []string{"one", "two"}))
			l.send(b, p.a, "back")
			l.want("who was asked has learned the asker: four frames, one question, one answer, and three packets", len(l.wire) == 5)
			l.want("the answer arrives", slices.Equal(a.got, []string{"back"}))
		})
	}
}

func TestCheckThenAnnounce(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l := newLAN(t)
			a := l.add(1, p.a+p.bits)
			l.add(2, p.b+p.bits)
			l.run(500 * millisecond)
			l.want("nothing is sent before the check is over", l.send(a, p.b, "early") == NotReady)
			l.run(20 * second)
			from := mac(1).String() + " > "
			probes, announcements := l.said(from+"33:33:ff:00:00:01 ns from :: for fd00::1"), l.said(from+"33:33:00:00:00:01 na fd00::1 is 02:00:00:00:00:01")
			if p.name == "IPv4" {
				probes = l.said(from + "ff:ff:ff:ff:ff:ff arp 1 0.0.0.0 is 02:00:00:00:00:01, 10.0.0.1")
				announcements = l.said(from + "ff:ff:ff:ff:ff:ff arp 1 10.0.0.1 is 02:00:00:00:00:01, 10.0.0.1")
			}
			want := map[string]int{"IPv4": 3, "IPv6": 1}[p.name]
			if probes != want || announcements != 2 {
				t.Errorf("%d probes and %d announcements, want %d and 2", probes, announcements, want)
			}
			l.explain()
		})
	}
}

// An address that somebody has is refused, and he keeps it; two that start at the same time refuse both.
func TestConflictAtStart(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, _ := settledLAN(t, p.a+p.bits, p.b+p.bits)
			late := l.add(3, p.a+p.bits)
			l.run(20 * second)
			c, refuses := late.Conflict()
			if !refuses || c.Addr != addr(p.a) || c.MAC != mac(1) || late.Ready() {
				t.Errorf("conflict %+v, refuses %v", c, refuses)
			}
			l.want("the first keeps its address", a.Ready())

			l = newLAN(t)
			x, y := l.add(1, p.a+p.bits), l.add(2, p.a+p.bits)
			l.run(20 * second)
			_, refuses = x.Conflict()
			_, refuses2 := y.Conflict()
			if !refuses && !refuses2 {
				t.Error("two hosts started with the same address, and both have it")
			}
			l.explain()
		})
	}
}

// Somebody who takes our address later is answered by an announcement, at intervals.
func TestDefence(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, _ := settledLAN(t, p.a+p.bits, p.b+p.bits)
			for range 5 {
				l.inject(a, claim(mac(9), p.a))
				l.run(second)
			}
			c := a.Counters()
			if c.Conflicts != 5 || c.Defended != 1 || len(l.wire) != 1 {
				t.Errorf("5 claims in 5 s: %d conflicts, %d announcements, %d frames", c.Conflicts, c.Defended, len(l.wire))
			}
			l.run(10 * second)
			l.inject(a, claim(mac(9), p.a))
			l.want("after ten seconds it is defended again", a.Counters().Defended == 2 && a.Ready())
		})
	}
}

// claim returns a gratuitous announcement by a MAC.
func claim(by MAC, address string) []byte {
	h := &Host{cfg: Config{MAC: by}}
	h.announce(addr(address))
	return append([]byte(nil), h.Poll()...)
}

func TestNobodyAnswers(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, _ := settledLAN(t, p.a+p.bits, p.b+p.bits)
			nobody := strings.TrimSuffix(p.b, "2") + "77"
			l.send(a, nobody, "one")
			l.send(a, nobody, "two")
			l.run(10 * second)
			c := a.Counters()
			if c.Losses[Overtaken] != 1 || c.Losses[NoNeighbor] != 1 || c.Neighbors != 0 {
				t.Errorf("one packet was overtaken and one given up; counted %+v", c)
			}
			if n := len(l.wire); n != maxSolicit {
				t.Errorf("asked %d times, want %d", n, maxSolicit)
			}
		})
	}
}

func TestGateway(t *testing.T) {
	l := newLAN(t)
	a := l.addConfig(Config{
		MAC: mac(1), Addresses: prefixes("10.0.0.1/24", "fd00::1/64"),
		Gateways: []netip.Addr{netip.MustParseAddr("10.0.0.254"), netip.MustParseAddr("fe80::254")},
	})
	router := l.add(9, "10.0.0.254/24", "fe80::254/64")
	without := l.add(2, "10.0.0.2/24")
	l.run(20 * second)
	l.send(a, "192.0.2.1", "far")
	l.send(a, "2001:db8::1", "far6")
	l.want("both go to the gateway", slices.Equal(router.got, []string{"far", "far6"}))
	l.want("without a gateway there is no route", l.send(without, "192.0.2.1", "x") == NoRoute)
	l.want("nor with that of the other family", l.send(without, "2001:db8::1", "x") == NoRoute)
	l.want("our own address is not on the wire", l.send(a, "10.0.0.1", "x") == ToOurselves)
	l.want("groups are not sent to", l.send(a, "224.0.0.1", "x") == NotUnicast)
	l.explain()
}

// A neighbor in use is asked from time to time; one that fell silent is looked for again, and forgotten.
func TestNeighborsAreConfirmed(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, b := settledLAN(t, p.a+p.bits, p.b+p.bits)
			for range 100 {
				l.send(a, p.b, "x")
				l.run(second)
			}
			asked := a.Counters().Solicitations
			if len(b.got) != 100 || asked < 2 || asked > 10 {
				t.Errorf("%d of 100 packets in 100 s arrived, %d solicitations", len(b.got), asked)
			}
			l.run(200 * second)
			l.want("who is not sent to is forgotten", a.Counters().Neighbors == 0 && a.Counters().Solicitations == asked)

			l.send(a, p.b, "x")
			l.drop = func(from *station, _ []byte) bool { return from == b }
			for range 70 {
				l.send(a, p.b, "x")
				l.run(second)
			}
			l.want("who does not answer any more is given up", a.Counters().Losses[NoNeighbor] > 0)
		})
	}
}

// Anybody can claim a neighbor's address. He gets it only when the neighbor does not answer.
func TestClaimsAreConfirmed(t *testing.T) {
	for _, p := range pairs {
		t.Run(p.name, func(t *testing.T) {
			l, a, b := settledLAN(t, p.a+p.bits, p.b+p.bits)
			l.send(a, p.b, "x")
			l.inject(a, claim(mac(9), p.b))
			l.run(5 * second)
			l.send(a, p.b, "y")
			l.want("the neighbor is there, so that it keeps its address", slices.Equal(b.got, []string{"x", "y"}))
			l.want("it was asked once", a.Counters().Challenges == 1)

			l.hosts = slices.DeleteFunc(l.hosts, func(s *station) bool { return s == b })
			heir := l.add(9, p.b+p.bits) // announces itself when it has checked
			l.run(20 * second)
			l.send(a, p.b, "z")
			l.want("the neighbor is gone, another one has its address", slices.Equal(heir.got, []string{"z"}))
		})
	}
}

// TestScan is attacks.md C06: packets to every address of the link leave the neighbors that are there alone, and memory.
func TestScan(t *testing.T) {
	l, a, b := settledLAN(t, "fd00::1/64", "fd00::2/64")
	l.send(a, "fd00::2", "x")
	for i := range 20 * maxNeighbors {
		l.send(a, fmt.Sprintf("fd00::1:%x", i+1), "scan")
	}
	c := a.Counters()
	if c.Neighbors != maxNeighbors || c.Losses[Evicted] != 19*maxNeighbors+1 {
		t.Errorf("%d neighbors, %d evicted", c.Neighbors, c.Losses[Evicted])
	}
	l.want("solicitations are limited", c.Solicitations < solicitBurst+100 && c.SolicitLimit > 0)
	l.send(a, "fd00::2", "y")
	l.want("who was there is still known", slices.Equal(b.got, []string{"x", "y"}))
	l.run(10 * second)
	l.want("nothing is left", a.Counters().Neighbors == 1)
}

// Requests from many senders do not push out the neighbors we are asking for.
func TestFloodOfRequests(t *testing.T) {
	l, a, _ := settledLAN(t, "10.0.0.1/8", "10.0.0.2/8")
	l.send(a, "10.0.0.77", "waits")
	for i := range 5 * maxNeighbors {
		f := make([]byte, HeaderLen+arpLen)
		from := MAC{2, 1, 0, 0, byte(i >> 8), byte(i)}
		putHeader(f, Broadcast, from, typeARP)
		(&arp{op: arpRequest, senderMAC: from, sender: ip.Addr4([4]byte{10, 9, byte(i >> 8), byte(i)}), target: addr("10.0.0.1")}).put(f[HeaderLen:])
		l.inject(a, f)
	}
	c := a.Counters()
	if c.Answers < 5*maxNeighbors || c.Losses[Evicted] != 0 || c.Neighbors != maxNeighbors {
		t.Errorf("%d answers, %d evicted, %d neighbors", c.Answers, c.Losses[Evicted], c.Neighbors)
	}
	l.want("a packet to a new neighbor still finds room", l.send(a, "10.0.0.78", "x") == Sent)
}

func TestWholePrefix(t *testing.T) {
	l := newLAN(t)
	a := l.add(1, "10.0.0.1/24", "fd00::1/64")
	b := l.addConfig(Config{MAC: mac(2), Addresses: prefixes("10.0.0.2/24", "fd00::2/64"), Whole: prefixes("10.0.0.128/25", "fd00::5:0/112")})
	l.run(20 * second)
	for _, to := range []string{"10.0.0.200", "fd00::5:77"} {
		l.send(a, to, to)
	}
	l.want("every address of the prefixes is answered for", slices.Equal(b.got, []string{"10.0.0.200", "fd00::5:77"}))
	l.explain()
}

func TestAnnounceAgain(t *testing.T) {
	l, a, _ := settledLAN(t, "10.0.0.1/24", "10.0.0.2/24")
	a.Announce(l.now)
	l.run(10 * second)
	l.want("twice", len(l.wire) == announceCount && a.Ready())
}

func TestConfigCheck(t *testing.T) {
	ok := Config{MAC: mac(1), Addresses: prefixes("10.0.0.1/24")}
	gateway := func(list ...string) (out []netip.Addr) {
		for _, s := range list {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	for _, tt := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.MAC = Broadcast }, "cannot be the MAC"},
		{func(c *Config) { c.MAC = MAC{} }, "cannot be the MAC"},
		{func(c *Config) { c.Addresses = nil }, "needs an address"},
		{func(c *Config) { c.Addresses = prefixes("224.0.0.1/24") }, "not an address of one host"},
		{func(c *Config) { c.Gateways = gateway("10.0.1.1") }, "in no network of ours"},
		{func(c *Config) { c.Gateways = gateway("fe80::1") }, "in no network of ours"},
		{func(c *Config) { c.Gateways = gateway("10.0.0.1") }, "one of our own"},
		{func(c *Config) { c.Gateways = gateway("10.0.0.2", "10.0.0.3") }, "both gateways"},
	} {
		c := ok
		tt.change(&c)
		if _, err := NewHost(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %q", c, err, tt.want)
		}
	}
	if _, err := NewHost(ok); err != nil {
		t.Error(err)
	}
}

func TestDeriveMAC(t *testing.T) {
	seen := map[MAC]bool{}
	for i := range 1000 {
		m := DeriveMAC([16]byte{1}, fmt.Sprint(i))
		if !m.Valid() || m[0]&localBit == 0 || seen[m] || m != DeriveMAC([16]byte{1}, fmt.Sprint(i)) {
			t.Fatalf("%d gives %v", i, m)
		}
		seen[m] = true
	}
	if DeriveMAC([16]byte{1}, "a") == DeriveMAC([16]byte{2}, "a") {
		t.Error("the key makes no difference")
	}
}
