package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Modes are the values of tun.mode.
var Modes = []string{"tun", "tap"}

// MAC is the address of an interface on an Ethernet. The zero value is one derived from the machine's identity.
type MAC [6]byte

func (m MAC) String() string {
	if m == (MAC{}) {
		return "auto"
	}
	return net.HardwareAddr(m[:]).String()
}

func parseMAC(s string) (MAC, error) {
	const hint = "write six bytes, like 02:00:5e:10:00:01, or auto"
	if s == "auto" {
		return MAC{}, nil
	}
	b, err := net.ParseMAC(s)
	switch {
	case err != nil || len(b) != 6:
		return MAC{}, wrong(hint, "%s is no MAC address", short(s))
	case b[0]&1 != 0 || MAC(b) == MAC{}:
		return MAC{}, wrong(hint, "%s is not the address of a single interface", short(s))
	}
	return MAC(b), nil
}

// parseBridge reads the name of an interface, or nothing.
func parseBridge(s string) (string, error) {
	if s == "" {
		return "", nil
	}
	return parseDevice(s)
}

func parseGateway(s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if a.Zone() != "" {
		return a, zoned(s)
	}
	if err != nil || a.Is4In6() || a.IsUnspecified() || a.IsMulticast() || a.IsLoopback() {
		return a, wrong(`write the address of a router, like 10.0.0.1 or "fe80::1"`, "%s is not the address of a host", short(s))
	}
	return a, nil
}

// tap checks what belongs to one mode of the device only.
func (k *checker) tap() {
	t := &k.c.Tun
	if t.Mode != "tap" {
		for path, set := range map[string]bool{"tun.mac": t.MAC != MAC{}, "tun.bridge": t.Bridge != "", "tun.gateway": len(t.Gateway) > 0} {
			if set {
				k.problem(path, "set tun.mode: tap, or remove it", "only the host of an Ethernet has one, and tun.mode is tun")
			}
		}
		return
	}
	if t.Queues > 1 {
		k.problem(k.later("tun.queues", "tun.mode"), "set it to auto", "%d queues, and mode tap has one", t.Queues)
	}
	if t.Offload == "on" {
		k.problem(k.later("tun.offload", "tun.mode"), "set it to auto", "mode tap exchanges no super-packets with the kernel")
	}
	if t.Bridge != "" && !t.Create {
		k.warn("tun.bridge", "make the device a port of the bridge where it is created", "unused, as tun.create is false")
		t.Bridge = ""
	}
	k.gateways()
	k.tapHost()
}

// tapHost: on a bridge the kernel's side has no addresses of its own, and addresses of a network with other hosts leave no
// room for a guess.
func (k *checker) tapHost() {
	t := &k.c.Tun
	switch {
	case k.rank("tun.host") > rankBuiltIn && t.Bridge != "" && len(t.Host) > 0:
		k.problem(k.later("tun.host", "tun.bridge"), "give them to the bridge, and remove tun.host",
			"a port of a bridge has no addresses, and tun.bridge is %s", t.Bridge)
		t.Host = nil
	case k.rank("tun.host") == rankBuiltIn && (t.Bridge != "" || len(t.Gateway) > 0 || k.rank("addresses") > rankBuiltIn):
		t.Host = nil
	}
}

// gateways checks that each can be reached without a gateway.
func (k *checker) gateways() {
	var seen [2]netip.Addr
	for i, g := range k.c.Tun.Gateway {
		path := k.later(fmt.Sprintf("tun.gateway[%d]", i), "addresses")
		family := g.BitLen() / 128
		switch {
		case k.own(g):
			k.problem(path, "name the router of the network", "%s is one of addresses", g)
		case !k.onLink(g):
			k.problem(path, "name a router in the network of one of addresses, or give addresses its prefix length",
				"the gateway %s is in no network of addresses", g)
		case seen[family].IsValid():
			k.problem(path, "remove one of them", "%s is a gateway already, and there is one of each family", seen[family])
		}
		seen[family] = g
	}
}

// onLink reports whether a is in a network of ours. Every IPv6 link has fe80::/10 (RFC 4291, section 2.5.6).
func (k *checker) onLink(a netip.Addr) bool {
	return slices.ContainsFunc(k.c.Addresses, func(p netip.Prefix) bool {
		return p.Contains(a) || p.Addr().Is6() && a.Is6() && a.IsLinkLocalUnicast()
	})
}
