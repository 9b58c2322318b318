package e2e

import (
	"fmt"
	"os"
	"testing"
)

// TestNarrowPath: the client is behind a router, and the link to it is narrower than both ends know. The router refuses what
// is too large with ICMP, and the daemon must send smaller packets.
func TestNarrowPath(t *testing.T) {
	router := newNamespace(t, "a narrow path behind a router")
	const size = 16 * miB
	services := sourceAndSink(t, router, 18, size)
	d := start(t, router, settings{services: services})
	client := behind(t, router, 1300)
	bothWays(t, client, 18, size, true)
	if m, err := d.scrape(); err != nil || m["tcpd_tcp_path_mtu_reduced_total"] < 2 {
		t.Errorf("the path's MTU was not found out for both families (%v) in\n%v", err, m)
	}
}

// behind makes a namespace whose way to the daemon leads through the router, over a link of the given MTU. Its own end of that
// link sends no larger packets either, but announces the MSS of an Ethernet.
func behind(t *testing.T, router *namespace, mtu int) *namespace {
	t.Helper()
	client := newNamespace(t, "a client behind a router")
	router.run(t, "ip", "link", "add", "near", "mtu", fmt.Sprint(mtu), "type", "veth", "peer", "name", "far",
		"netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), client.fd))
	router.run(t, "ip", "address", "add", "192.0.2.1/24", "dev", "near")
	router.run(t, "ip", "address", "add", "2001:db8::1/64", "dev", "near", "nodad")
	router.run(t, "ip", "link", "set", "near", "up")
	router.forward(t)

	client.run(t, "ip", "address", "add", "192.0.2.2/24", "dev", "far")
	client.run(t, "ip", "address", "add", "2001:db8::2/64", "dev", "far", "nodad")
	client.run(t, "ip", "link", "set", "far", "up")
	narrow := []string{"mtu", fmt.Sprint(mtu), "advmss", "1440"}
	client.useCubic(t, append([]string{"10.77.0.2", "via", "192.0.2.1"}, narrow...)...)
	client.useCubic(t, append([]string{"fd77::2", "via", "2001:db8::1"}, narrow...)...)
	return client
}

// forward makes the namespace a router.
func (ns *namespace) forward(t *testing.T) {
	t.Helper()
	for _, file := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := ns.do(func() error { return os.WriteFile(file, []byte("1"), 0) }); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAddressOfAnother: a second daemon on the same address would be ready and never hear anything. It says so, and the first does
// not.
func TestAddressOfAnother(t *testing.T) {
	ns := newNamespace(t, "two daemons on one address")
	first := start(t, ns, settings{services: []string{echoService}})
	second := prepare(t, ns)
	second.configureText(t, "tun: {name: tcp1, host: [10.77.0.3/24]}\naddresses: [10.77.0.2/24]\nservices: [{name: echo, listen: \":7\", echo: {}}]\n"+
		"control: {socket: "+second.dir+"/control.sock}\n")
	second.launch(t, builtBinary(t), "run", "--config", second.config)
	second.wantLog(t, 0, "elsewhere, not to tcp1", "10.77.0.2 (through tcp0)", "tcpd doctor")
	if hasLine(first.log.String(), "elsewhere") {
		t.Errorf("the first has its address: %s", first.log.String())
	}
}
