package e2e

import "testing"

// TestLongSuperPackets: a peer on the host itself gets super-packets of up to 256 KiB. One behind the host does not: most
// interfaces would have them cut into segments before they are sent on.
func TestLongSuperPackets(t *testing.T) {
	router := newNamespace(t, "super-packets of more than 64 KiB")
	d := start(t, router, settings{services: []string{`{name: chargen, listen: ":19", chargen: {}}`}})
	here := 100_000
	if m, err := d.scrape(); err != nil || m["tcpd_link_gso_long"] == 0 {
		t.Logf("this kernel takes none (%v)", err) // it is older than Linux 6.3
		here = 20_000
	}
	client := behind(t, router, 1500)
	for _, family := range families {
		for _, x := range []struct {
			where      string
			ns         *namespace
			least, max int // bytes of data of the longest packet
		}{{"on the host", router, here, 256 << 10}, {"behind it", client, 20_000, 65535}} {
			frames := record(t, router, 19, func() { fetch(t, x.ns, address(family.host, 19), 64*miB) })
			longest := 0
			for _, f := range frames {
				if f.ours {
					longest = max(longest, f.payload)
				}
			}
			if longest < x.least || longest > x.max {
				t.Errorf("%s, the client %s: the longest packet has %d bytes of data, want %d to %d", family.name, x.where, longest, x.least, x.max)
			}
		}
	}
}

// TestLongSuperPacketsThatAreDropped: a packet filter of the host that knows no extension headers lets a jumbogram of IPv6 not
// through. The connection goes on without.
func TestLongSuperPacketsThatAreDropped(t *testing.T) {
	ns := newNamespace(t, "a packet filter that drops jumbograms")
	const size = 64 * miB
	start(t, ns, settings{services: sourceAndSink(t, ns, 51, size)})
	ns.run(t, "nft", "add table ip6 f; add chain ip6 f in { type filter hook input priority 0; }; add rule ip6 f in ip6 nexthdr 0 counter drop")
	if err := ns.download(address(families[1].host, sourcePort), 51, size); err != nil {
		t.Error(err)
	}
	if out := ns.run(t, "nft", "list chain ip6 f in"); !hasLine(out, "counter packets") || hasLine(out, "counter packets 0 ") {
		t.Errorf("the filter has dropped nothing:\n%s", out)
	}
}
