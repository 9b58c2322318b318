package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
)

// TestEveryMTU changes the MTU of the daemon's device step by step, through every size that Ethernet and its tunnels use and
// those around which something else becomes the limit. Streams go on all the time, and at each step one begins.
func TestEveryMTU(t *testing.T) {
	for _, offload := range []string{"auto", "off"} {
		t.Run("offload "+offload, func(t *testing.T) {
			ns := newNamespace(t, "streams at every MTU with offload: "+offload)
			start(t, ns, settings{tun: []string{"offload: " + offload}, services: []string{echoService}})
			both := []int{65535, 65534, 65521, 65520, 65519, 32768, 16384, 9001, 9000, 8999, 4097, 4096, 4095, 4000, 2000}
			both = append(both, between(1502, minIPv6MTU, 1)...)
			throughMTUs(t, ns, both, families[0].host, families[1].host)
			// With less than IPv6 needs the kernel takes its addresses from the device.
			throughMTUs(t, ns, append(between(minIPv6MTU-1, 90, 13), 576, 552, 128, 89, 88, 87, 80, 68), families[0].host)
		})
	}
}

// between lists the numbers from most down to least.
func between(most, least, step int) (all []int) {
	for n := most; n >= least; n -= step {
		all = append(all, n)
	}
	return all
}

// throughMTUs gives tcp0 one MTU after the other, down and up again, with a stream to each host that goes on and one that begins.
func throughMTUs(t *testing.T, ns *namespace, mtus []int, hosts ...string) {
	t.Helper()
	var addresses []string
	for _, host := range hosts {
		addresses = append(addresses, address(host, 7))
	}
	load := runStreams(t, ns, 1, addresses...)
	up := slices.Clone(mtus)
	slices.Reverse(up)
	for i, mtu := range slices.Concat(mtus, up) {
		if err := ns.setMTU("tcp0", mtu); err != nil {
			t.Fatal(err)
		}
		for _, to := range addresses {
			if err := shortEcho(ns, to, uint64(i), int64(40_000+3*mtu/2)); err != nil {
				t.Fatalf("MTU %d, a stream to %s that begins: %v", mtu, to, err)
			}
		}
	}
	load.progress(t)
	load.stop(t)
}

func (ns *namespace) setMTU(name string, mtu int) error {
	return ns.do(func() error {
		link, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetMTU(link, mtu)
		}
		if err != nil {
			return fmt.Errorf("the MTU of %s, %d: %w", name, mtu, err)
		}
		return nil
	})
}

// shortEcho is echo over a connection of its own.
func shortEcho(ns *namespace, to string, seed uint64, size int64) error {
	conn, err := ns.dial(to)
	if err != nil {
		return err
	}
	defer conn.Close()
	return echo(conn, seed, size)
}
