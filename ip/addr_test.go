package ip

import (
	"net/netip"
	"testing"
)

func TestAddr_netip(t *testing.T) {
	for _, c := range []struct {
		text        string
		four        bool
		unspecified bool
	}{
		{"10.77.0.2", true, false},
		{"0.0.0.0", true, true},
		{"255.255.255.255", true, false},
		{"fd77::2", false, false},
		{"::", false, true},
		{"::1", false, false},
		{"::10.77.0.2", false, false},
	} {
		a := addr(c.text)
		if a.Is4() != c.four || a.IsUnspecified() != c.unspecified {
			t.Errorf("%s: Is4 %v, IsUnspecified %v", c.text, a.Is4(), a.IsUnspecified())
		}
		if n := netip.MustParseAddr(c.text); a.Netip() != n || a.String() != n.String() {
			t.Errorf("%s: back as %v", c.text, a)
		}
	}
}

func TestAddr_oddities(t *testing.T) {
	if AddrFrom(netip.Addr{}) != (Addr{}) {
		t.Error("an invalid address is not the zero one")
	}
	if addr("fe80::1%eth0") != addr("fe80::1") {
		t.Error("the zone remains")
	}
	if addr("::ffff:10.77.0.2") != addr("10.77.0.2") || addr("10.77.0.2") != Addr4([4]byte{10, 77, 0, 2}) {
		t.Error("one IPv4 address is several")
	}
}
