package tun

import (
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ip"
)

func TestDeletedDeviceIsCreatedAgain(t *testing.T) {
	needRoot(t, "a device deleted while it is read")
	for _, queues := range []int{1, 2} {
		cfg := setUp(t)
		cfg.Queues = queues
		var await func(string)
		cfg.Logf, await = messages(t)
		d := mustOpen(t, cfg)
		ended := make(chan error, queues)
		for i := range queues {
			go func() {
				for {
					if err := d.Read(i, 8, func([]byte, ip.Offload) {}); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		for range 2 {
			if err := remove(testName); err != nil {
				t.Fatal(err)
			}
			await("attached again")
			sendDatagram(t, ourAddress4, "hello")
		}
		if s := d.Stats(); s.Reattached != 2 || !s.LinkUp || !s.GSO || d.MTU() != 1400 {
			t.Errorf("after two deletions: %+v, MTU %d", s, d.MTU())
		}
		d.Close()
		for range queues {
			if err := <-ended; !errors.Is(err, os.ErrClosed) {
				t.Errorf("a reader ended with %v", err)
			}
		}
	}
}

func TestAdministratorBringsTheDeviceBack(t *testing.T) {
	needRoot(t, "a device deleted and made anew by somebody else")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI, 0)
	prepare(t, setUp(t))
	cfg := Config{Name: testName}
	var await func(string)
	cfg.Logf, await = messages(t)
	d := mustOpen(t, cfg)
	arrived := make(chan bool, 1)
	go readUntilClosed(d, arrived)
	remove(testName)
	await("the device is gone")
	// As the administrator may well do, with other flags than before.
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_MULTI_QUEUE, 0)
	await("attached again")
	prepare(t, setUp(t))
	sendDatagram(t, ourAddress6, "hello")
	<-arrived
	if s := d.Stats(); !s.Persistent || s.Reattached != 1 {
		t.Errorf("persistent %v, re-attached %d times", s.Persistent, s.Reattached)
	}
}

// readUntilClosed reads queue 0 and reports the first UDP datagram.
func readUntilClosed(d *Device, arrived chan<- bool) {
	for {
		err := d.Read(0, 8, func(b []byte, o ip.Offload) {
			var p ip.Packet
			if p.Parse(b, o) == ip.DropNone && p.Protocol == ip.ProtocolUDP {
				select {
				case arrived <- true:
				default:
				}
			}
		})
		if err != nil {
			return
		}
	}
}

// Who asked for no number of queues gets along with what comes back, on all that he has.
func TestDeviceThatComesBackWithOneQueue(t *testing.T) {
	needRoot(t, "a device made anew by somebody else")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR|unix.IFF_MULTI_QUEUE, 0)
	prepare(t, setUp(t))
	logf, await := messages(t)
	v, err := newView()
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(Config{Name: testName, Queues: 3, anyQueues: true, ReattachFor: time.Minute, Logf: logf}, v)
	d.attach = func() (*attachment, error) { return attach(d.cfg, v) }
	if err := d.start(subscribe()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	got := make(chan string, 1)
	for i := range d.Queues() {
		go func() {
			var p ip.Packet
			deliver := func(b []byte, o ip.Offload) {
				if p.Parse(b, o) == ip.DropNone && p.Protocol == ip.ProtocolUDP {
					got <- string(p.Payload[8:])
				}
			}
			for d.Read(i, 1, deliver) == nil {
			}
		}()
	}
	remove(testName)
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR, 0)
	prepare(t, setUp(t))
	await("attached again")
	sendDatagram(t, ourAddress4, "to the only queue")
	if body := <-got; body != "to the only queue" {
		t.Errorf("got %q", body)
	}
	for i := range d.Queues() {
		if err := d.Write(i, outgoing(4, 1000, 5000)); err != nil {
			t.Errorf("queue %d: %v", i, err)
		}
	}
	if s := d.Stats(); s.Written.Packets != uint64(d.Queues()) {
		t.Errorf("%d packets written, want %d", s.Written.Packets, d.Queues())
	}
}

func TestDeviceThatDoesNotComeBack(t *testing.T) {
	needRoot(t, "a device deleted for good")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI, 0)
	d := mustOpen(t, Config{Name: testName, ReattachFor: 100 * time.Millisecond, Logf: t.Logf})
	got := make(chan error)
	go func() { got <- d.Read(0, 1, func([]byte, ip.Offload) {}) }()
	remove(testName)
	if err := <-got; err == nil || !strings.Contains(err.Error(), "was deleted") || !strings.Contains(err.Error(), "ip tuntap add") {
		t.Errorf("the reader ended with %v, want the reason and the remedy", err)
	}
}

func TestLinkDownIsSurvived(t *testing.T) {
	needRoot(t, "a link set down and up")
	cfg := setUp(t)
	var await func(string)
	cfg.Logf, await = messages(t)
	d := mustOpen(t, cfg)
	if err := netlink.LinkSetDown(mustLink(t, testName)); err != nil {
		t.Fatal(err)
	}
	await("link is down")
	if err := d.Write(0, outgoing(4, 1000, 5000)); err != nil {
		t.Errorf("writing to a link that is down: %v", err)
	}
	if s := d.Stats(); s.LinkUp || s.WriteDrops[WriteLinkDown] != 1 {
		t.Errorf("link up is %v, %d packets counted as lost by it", s.LinkUp, s.WriteDrops[WriteLinkDown])
	}
	if err := netlink.LinkSetUp(mustLink(t, testName)); err != nil {
		t.Fatal(err)
	}
	await("link is up")
	sendDatagram(t, ourAddress4, "still here")
	wantDatagram(t, d, "still here")
	d.Write(0, outgoing(4, 1000, 5000))
	if s := d.Stats(); !s.LinkUp || s.Written.Super != 1 {
		t.Errorf("after coming up: %+v", s)
	}
}

// The kernel takes IPv6 addresses off a link that is down, or has an MTU too small for them, and gives none back.
func TestHostAddressesComeBack(t *testing.T) {
	needRoot(t, "addresses of the host's side after a link was down")
	cfg := setUp(t)
	var await func(string)
	cfg.Logf, await = messages(t)
	mustOpen(t, cfg)
	link := mustLink(t, testName)
	setMTU := func(mtu int) error { return netlink.LinkSetMTU(link, mtu) }
	for _, tt := range []struct {
		what        string
		away, back  func() error
		gone, again string
	}{
		{"down", func() error { return netlink.LinkSetDown(link) }, func() error { return netlink.LinkSetUp(link) }, "link is down", "link is up"},
		{"too small", func() error { return setMTU(1000) }, func() error { return setMTU(1400) }, "MTU is now 1000", "MTU is now 1400"},
	} {
		if err := tt.away(); err != nil {
			t.Fatal(err)
		}
		await(tt.gone)
		if err := tt.back(); err != nil {
			t.Fatal(err)
		}
		await(tt.again)
		if missing := missingAddresses(t, cfg); missing != nil {
			t.Errorf("after the link was %s its host's side lacks %v", tt.what, missing)
		}
	}
}

// A link that is up again before anybody has looked was down all the same.
func TestHostAddressesComeBackAtOnce(t *testing.T) {
	needRoot(t, "addresses of the host's side after a link was down for a moment")
	cfg := setUp(t)
	mustOpen(t, cfg)
	for range 20 {
		link := mustLink(t, testName)
		if err := errors.Join(netlink.LinkSetDown(link), netlink.LinkSetUp(link)); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(20 * time.Second)
		for missingAddresses(t, cfg) != nil {
			if time.Now().After(deadline) {
				t.Fatalf("the host's side lacks %v", missingAddresses(t, cfg))
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// missingAddresses returns those of the host's that the device does not have.
func missingAddresses(t *testing.T, cfg Config) (missing []netip.Prefix) {
	t.Helper()
	list, err := netlink.AddrList(mustLink(t, cfg.Name), netlink.FAMILY_ALL)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range cfg.Host {
		if !slices.ContainsFunc(list, func(a netlink.Addr) bool { return prefixOf(a.IPNet) == p }) {
			missing = append(missing, p)
		}
	}
	return missing
}

func TestMTUIsCurrent(t *testing.T) {
	needRoot(t, "MTU changes")
	cfg := setUp(t)
	var await func(string)
	cfg.Logf, await = messages(t)
	d := mustOpen(t, cfg)
	if err := netlink.LinkSetMTU(mustLink(t, testName), 9000); err != nil {
		t.Fatal(err)
	}
	await("MTU is now 9000")
	if d.MTU() != 9000 {
		t.Errorf("MTU is %d", d.MTU())
	}
}

// A sandbox without AF_NETLINK: everything that attaching needs comes from sysfs, and changes are looked for.
func TestWithoutNetlink(t *testing.T) {
	needRoot(t, "a sandbox without netlink")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_MULTI_QUEUE, 0)
	prepare(t, setUp(t))
	v, err := newView()
	if err != nil {
		t.Fatal(err)
	}
	with, err := v.look(testName)
	if err != nil {
		t.Fatal(err)
	}
	v.netlink.Close()
	v.netlink, v.barred = nil, unix.EAFNOSUPPORT
	with.long = false // only netlink tells
	if without, err := v.look(testName); err != nil || without != with {
		t.Errorf("sysfs says %+v (%v), netlink %+v", without, err, with)
	}
	if f, err := v.look("tcpd-absent0"); err != nil || f.exists {
		t.Errorf("an absent device: %+v (%v)", f, err)
	}
	logf, await := messages(t)
	d := newDevice(Config{Name: testName, Logf: logf, ReattachFor: time.Minute}, v)
	d.attach = func() (*attachment, error) { return attach(d.cfg, v) }
	if err := d.start(&subscription{}); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := netlink.LinkSetMTU(mustLink(t, testName), 1300); err != nil {
		t.Fatal(err)
	}
	await("MTU is now 1300")
	if s := d.Stats(); !s.KernelDroppedKnown {
		t.Error("the drops of the device are not known")
	}
	if _, err := attach(setUp(t), v); err == nil || !strings.Contains(err.Error(), "AF_NETLINK") {
		t.Errorf("configuring without netlink: %v", err)
	}
}

func TestHostWithoutIPv6(t *testing.T) {
	needRoot(t, "a host with IPv6 switched off, or an MTU too small for it")
	const knob = "/proc/sys/net/ipv6/conf/default/disable_ipv6"
	if err := os.WriteFile(knob, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.WriteFile(knob, []byte("0"), 0) })
	for _, mtu := range []int{1500, 576} {
		cfg := setUp(t)
		cfg.MTU = mtu
		var await func(string)
		cfg.Logf, await = messages(t)
		d := mustOpen(t, cfg)
		await("no address fd77::1/64")
		sendDatagram(t, ourAddress4, "IPv4 works")
		wantDatagram(t, d, "IPv4 works")
		d.Close()
	}
}

func TestDropsOfTheKernelAreSeen(t *testing.T) {
	needRoot(t, "a ring that overflows")
	d := mustOpen(t, setUp(t))
	if err := netlink.LinkSetTxQLen(mustLink(t, testName), 10); err != nil {
		t.Fatal(err)
	}
	for range 40 {
		sendDatagram(t, ourAddress4, "too much")
	}
	if s := d.Stats(); s.KernelDropped < 20 {
		t.Errorf("%d drops seen of about 30", s.KernelDropped)
	}
}

// Settings of an earlier user stay with a persistent device.
func TestLeftOverSettings(t *testing.T) {
	needRoot(t, "a device with another header size and with offloads left on")
	for _, offload := range []Offload{OffloadAuto, OffloadOff} {
		persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR, 0)
		fd, err := openQueue(testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR)
		if err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, 12); err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, offloads); err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		cfg := setUp(t)
		cfg.Offload = offload
		d := mustOpen(t, cfg)
		for _, to := range []netip.Addr{ourAddress4, ourAddress6} {
			sendDatagram(t, to, "correct")
			wantDatagram(t, d, "correct")
		}
		d.Close()
		remove(testName)
	}
}
