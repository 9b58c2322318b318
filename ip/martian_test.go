package ip

import "testing"

func TestAttack_I14_martians(t *testing.T) {
	const host4, host6 = "192.0.2.1", "2001:db8::1"
	for _, c := range []struct {
		src, dst string
		want     Drop
	}{
		{host4, "10.77.0.2", DropNone},
		{"10.0.0.255", "10.77.0.2", DropNone},
		{"169.254.1.1", "10.77.0.2", DropNone},
		{"223.255.255.255", "1.0.0.0", DropNone},
		{"0.0.0.0", "10.77.0.2", DropMartianSourceUnspecified},
		{"0.1.2.3", "10.77.0.2", DropMartianSourceReserved},
		{"127.0.0.1", "10.77.0.2", DropMartianSourceLoopback},
		{"127.255.255.255", "10.77.0.2", DropMartianSourceLoopback},
		{"224.0.0.1", "10.77.0.2", DropMartianSourceMulticast},
		{"239.255.255.255", "10.77.0.2", DropMartianSourceMulticast},
		{"240.0.0.1", "10.77.0.2", DropMartianSourceReserved},
		{"255.255.255.255", "10.77.0.2", DropMartianSourceReserved},
		{host4, "0.0.0.0", DropMartianDestinationUnspecified},
		{host4, "127.0.0.1", DropMartianDestinationLoopback},
		{host4, "224.0.0.251", DropMartianDestinationMulticast},
		{host4, "255.255.255.255", DropMartianDestinationReserved},
		{host4, "250.0.0.1", DropMartianDestinationReserved},
		{host6, "fd77::2", DropNone},
		{"fe80::1", "fe80::2", DropNone},
		{"64:ff9b::c000:201", "fd77::2", DropNone},
		{"::", "fd77::2", DropMartianSourceUnspecified},
		{"::1", "fd77::2", DropMartianSourceLoopback},
		{"::192.0.2.1", "fd77::2", DropMartianSourceReserved},
		{"ff02::1", "fd77::2", DropMartianSourceMulticast},
		{host6, "::", DropMartianDestinationUnspecified},
		{host6, "::1", DropMartianDestinationLoopback},
		{host6, "::2", DropMartianDestinationReserved},
		{host6, "ff02::1", DropMartianDestinationMulticast},
		{host6, "ff05::1:3", DropMartianDestinationMulticast},
	} {
		p := mustParse(t, build(Header{Src: addr(c.src), Dst: addr(c.dst), Protocol: ProtocolTCP}, nil))
		if got := p.Martian(); got != c.want {
			t.Errorf("from %s to %s: %v, want %v", c.src, c.dst, got, c.want)
		}
	}
}

func TestAttack_I13_land(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		p := mustParse(t, build(Header{Src: f.ours, Dst: f.ours, Protocol: ProtocolTCP}, nil))
		if d := p.Martian(); d != DropMartianLand {
			t.Errorf("from and to %v: %v", f.ours, d)
		}
	})
}

func TestAttack_I14_mappedOnTheWire(t *testing.T) {
	// An IPv6 packet with IPv4-mapped addresses must not become one of an IPv4 connection.
	f := families[1]
	mapped := addr("192.0.2.1")
	b := f.build(ProtocolTCP, nil)
	copy(b[8:], mapped[:])
	if d := mustParse(t, b).Martian(); d != DropMartianMapped {
		t.Errorf("mapped source: %v", d)
	}
	b = f.build(ProtocolTCP, nil)
	copy(b[24:], mapped[:])
	if d := mustParse(t, b).Martian(); d != DropMartianMapped {
		t.Errorf("mapped destination: %v", d)
	}
}
