package e2e

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// ethernet is a bridge in a namespace of its own, where the daemon runs, with hosts plugged in: near on the same network,
// router, and far behind the router.
type ethernet struct{ bridge, near, router, far *namespace }

// The daemon's addresses on the bridge, and those of the others.
var (
	bridged = map[string]string{"IPv4": "192.0.2.10", "IPv6": "2001:db8::10"}
	nearBy  = map[string]string{"IPv4": "192.0.2.1", "IPv6": "2001:db8::1"}
	farAway = map[string]string{"IPv4": "198.51.100.2", "IPv6": "2001:db8:1::2"}
)

func newEthernet(t *testing.T) *ethernet {
	t.Helper()
	e := &ethernet{}
	for _, ns := range []**namespace{&e.bridge, &e.near, &e.router, &e.far} {
		*ns = newNamespace(t, "tcpd as a host on a bridge")
	}
	e.bridge.run(t, "ip", "link", "add", "br0", "type", "bridge")
	e.bridge.run(t, "ip", "link", "set", "br0", "up")
	e.bridge.plug(t, "port1", e.near, "eth0", "192.0.2.1/24", "2001:db8::1/64")
	e.bridge.plug(t, "port2", e.router, "eth0", "192.0.2.254/24", "2001:db8::fe/64")
	for _, port := range []string{"port1", "port2"} {
		e.bridge.run(t, "ip", "link", "set", port, "master", "br0")
	}
	e.router.plug(t, "eth1", e.far, "eth0", "198.51.100.2/24", "2001:db8:1::2/64")
	e.router.run(t, "ip", "address", "add", "198.51.100.1/24", "dev", "eth1")
	e.router.run(t, "ip", "address", "add", "2001:db8:1::1/64", "dev", "eth1", "nodad")
	e.router.forward(t)
	e.far.run(t, "ip", "route", "add", "default", "via", "198.51.100.1")
	e.far.run(t, "ip", "-6", "route", "add", "default", "via", "2001:db8:1::1")
	return e
}

// plug connects a namespace by a cable.
func (ns *namespace) plug(t *testing.T, port string, host *namespace, device string, addresses ...string) {
	t.Helper()
	ns.run(t, "ip", "link", "add", port, "type", "veth", "peer", "name", device, "netns", fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), host.fd))
	ns.run(t, "ip", "link", "set", port, "up")
	for _, a := range addresses {
		add := []string{"address", "add", a, "dev", device}
		if strings.Contains(a, ":") {
			add = append(add, "nodad")
		}
		host.run(t, "ip", add...)
	}
	host.run(t, "ip", "link", "set", device, "up")
}

// bridgeConfig is a daemon on the Ethernet, with further keys of tun.
func bridgeConfig(dir, addresses, tun string) string {
	return fmt.Sprintf(`tun: {name: tap0, mode: tap, gateway: [192.0.2.254, "2001:db8::fe"], %s}
addresses: %s
services: [%s, {name: web, listen: ":80", http: {}}, {name: files, listen: ":81", http: {root: %s}}]
metrics: {listen: %q}
control: {socket: %s}
`, tun, addresses, echoService, dir, metricsAddress, filepath.Join(dir, "control.sock"))
}

const bridgedAddresses = `[192.0.2.10/24, "2001:db8::10/64"]`

// TestBridge: the daemon is a host on a bridge, through a TAP device that an administrator made and that it needs no privilege
// for. Hosts near and far talk to it and it to them; the device survives.
func TestBridge(t *testing.T) {
	t.Parallel()
	e := newEthernet(t)
	e.bridge.run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap", "user", nobody, "group", nobody)
	e.bridge.run(t, "ip", "link", "set", "tap0", "master", "br0")
	e.bridge.run(t, "ip", "link", "set", "tap0", "up")
	before, err := e.bridge.device("tap0")
	if err != nil {
		t.Fatal(err)
	}
	d := prepare(t, e.bridge)
	want := writeFile(t, filepath.Join(d.dir, "file"), 8*miB)
	d.configureText(t, bridgeConfig(d.dir, bridgedAddresses, "create: false"))
	d.meters = true
	d.launchAs(t, nobody)
	next(t, d.notify.ready, "READY=1")

	startNginx(t, e.near, d.dir)
	startNginx(t, e.far, d.dir)
	for family, host := range bridged {
		for _, from := range []*namespace{e.near, e.far} {
			for _, size := range []string{"1400", "4000"} { // whole, and in fragments
				from.run(t, "ping", "-n", "-c", "1", "-W", "20", "-s", size, host)
			}
			if page := from.run(t, "curl", "-sSf", "--max-time", "20", "http://"+literal(host)+"/"); !strings.Contains(page, "segment size") {
				t.Errorf("%s: curl got %q", family, page)
			}
			if got := wantDigest(t, from, "curl", "-sSf", "--max-time", "60", "http://"+literal(host)+":81/file"); !bytes.Equal(got, want) {
				t.Errorf("%s: the file arrived with SHA-256 %x, want %x", family, got, want)
			}
		}
		for _, to := range []string{nearBy[family], farAway[family]} {
			got := wantDigest(t, e.bridge, builtBinary(t), "get", "--socket", filepath.Join(d.dir, "control.sock"), "http://"+literal(to)+"/file")
			if !bytes.Equal(got, want) {
				t.Errorf("%s: tcpd get from %s has SHA-256 %x, want %x", family, to, got, want)
			}
		}
	}
	if groups := e.bridge.run(t, "bridge", "mdb", "show", "dev", "br0"); !strings.Contains(groups, "port tap0 grp ff02::1:ff00:10") {
		t.Errorf("the bridge does not know that we are in the group of our address:\n%s", groups)
	}
	m, err := d.scrape()
	if err != nil || m["tcpd_ether_answers_total"] == 0 || m["tcpd_ether_neighbors"] < 4 || m["tcpd_ether_conflicts_total"] != 0 {
		t.Errorf("the metrics (%v) tell no neighbours and answers:\n%v", err, m)
	}
	d.stop(t)
	after, err := e.bridge.device("tap0")
	if err != nil || after.Index != before.Index {
		t.Errorf("the administrator's device is gone after the daemon ended: %v", err)
	}
}

func literal(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// wantDigest runs a program that must succeed and returns the SHA-256 of what it prints.
func wantDigest(t *testing.T, ns *namespace, name string, args ...string) []byte {
	t.Helper()
	h := sha256.New()
	var errs bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = h, &errs
	err := ns.start(cmd)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, &errs)
	}
	return h.Sum(nil)
}

// TestBridgeConflict: an address that somebody answers for is refused, of either family; the device that was made for it goes.
func TestBridgeConflict(t *testing.T) {
	t.Parallel()
	e := newEthernet(t)
	for _, addresses := range []string{`[192.0.2.1/24, "2001:db8::10/64"]`, `["2001:db8::1/64"]`} {
		d := prepare(t, e.bridge)
		d.configureText(t, strings.Replace(bridgeConfig(d.dir, addresses, "bridge: br0"), "192.0.2.254, ", "", 1))
		d.launch(t, builtBinary(t), "run", "--config", d.config)
		d.wantExit(t, 1)
		mac, err := e.near.device("eth0")
		if err != nil {
			t.Fatal(err)
		}
		d.wantLog(t, 0, "is taken", mac.HardwareAddr.String())
		if _, err := e.bridge.device("tap0"); err == nil {
			t.Error("the device that the daemon made is still there")
		}
	}
}

// TestBridgeStopEarly: SIGTERM while others are asked whether they have the addresses ends the daemon, which never was ready.
func TestBridgeStopEarly(t *testing.T) {
	t.Parallel()
	e := newEthernet(t)
	d := prepare(t, e.bridge)
	d.configureText(t, bridgeConfig(d.dir, `[192.0.2.10/24, "2001:db8::10/64"]`, "bridge: br0"))
	d.launch(t, builtBinary(t), "run", "--config", d.config)
	d.wantLog(t, 0, "checking that nobody else has")
	began := time.Now()
	d.signal(t, syscall.SIGTERM)
	d.wantExit(t, 0)
	t.Logf("ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	if d.notify.count("READY=1") > 0 {
		t.Error("a daemon that was told to end said that it is ready")
	}
	if _, err := e.bridge.device("tap0"); err == nil {
		t.Error("the device that the daemon made is still there")
	}
}

// TestBridgePortDown: on a device that is down the daemon waits to check its addresses, as long as it is left to, and ends when the
// answer is that somebody has one.
func TestBridgePortDown(t *testing.T) {
	t.Parallel()
	e := newEthernet(t)
	e.bridge.run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap", "user", nobody, "group", nobody)
	e.bridge.run(t, "ip", "link", "set", "tap0", "master", "br0")
	for _, up := range []bool{false, true} {
		d := prepare(t, e.bridge)
		d.configureText(t, strings.Replace(bridgeConfig(d.dir, `["2001:db8::1/64"]`, "create: false"), "192.0.2.254, ", "", 1))
		d.launchAs(t, nobody)
		next(t, d.notify.ready, "READY=1")
		d.wantLog(t, 0, "while the link is down")
		if !up {
			d.stop(t)
			continue
		}
		e.bridge.run(t, "ip", "link", "set", "tap0", "up")
		d.wantExit(t, 1)
		d.wantLog(t, 0, "2001:db8::1 is taken")
	}
}

// TestBridgeClient: a client is a host of its own on the bridge, for as long as it runs.
func TestBridgeClient(t *testing.T) {
	t.Parallel()
	e := newEthernet(t)
	root := newDir(t)
	want := writeFile(t, filepath.Join(root, "file"), 8*miB)
	startNginx(t, e.far, root)
	own := []string{"--tun", "tap1", "--mode", "tap", "--bridge", "br0", "--gateway", "2001:db8::fe", "--addr", "2001:db8::11/64"}
	got := wantDigest(t, e.bridge, builtBinary(t), append(append([]string{"get"}, own...), "http://[2001:db8:1::2]/file")...)
	if !bytes.Equal(got, want) {
		t.Errorf("tcpd get on the bridge has SHA-256 %x, want %x", got, want)
	}
	e.bridge.run(t, builtBinary(t), append(append([]string{"ping"}, own...), "-c", "1", "2001:db8::1")...)
	if _, err := e.bridge.device("tap1"); err == nil {
		t.Error("the client's device is still there")
	}
}
