package tun

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// These tests run in the namespaces made by TestMain, where they may do with devices as they like.

const testName = "tcptest0"

// setUp is the configuration of most tests: 10.77.0.1 and fd77::1 are the kernel's.
func setUp(t testing.TB) Config {
	return Config{
		Name: testName, Create: true, Queues: 1, MTU: 1400,
		Host: []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("fd77::1/64")},
		Logf: t.Logf,
	}
}

func mustOpen(t testing.TB, cfg Config) *Device {
	t.Helper()
	d, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// messages returns a Logf and a function that waits until it was given a text that contains a string.
func messages(t *testing.T) (logf func(string, ...any), await func(part string)) {
	lines := make(chan string, 100)
	logf = func(format string, args ...any) { lines <- fmt.Sprintf(format, args...) }
	await = func(part string) {
		t.Helper()
		timeout := time.After(20 * time.Second)
		for {
			select {
			case l := <-lines:
				t.Log(l)
				if strings.Contains(l, part) {
					return
				}
			case <-timeout:
				t.Fatalf("nobody said %q", part)
			}
		}
	}
	return logf, await
}

// persist makes a persistent device as `ip tuntap add` does.
func persist(t testing.TB, name string, flags uint16, uid int) {
	t.Helper()
	fd, err := openQueue(name, flags)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1); err != nil {
		t.Fatal(err)
	}
	if uid > 0 {
		if err := unix.IoctlSetInt(fd, unix.TUNSETOWNER, uid); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { remove(name) })
}

func remove(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkDel(link)
}

func mustLink(t testing.TB, name string) netlink.Link {
	t.Helper()
	link, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// sendDatagram lets the kernel send data to an address behind the device.
func sendDatagram(t testing.TB, to netip.Addr, data string) {
	t.Helper()
	c, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(data)); err != nil {
		t.Fatal(err)
	}
}

// wantDatagram reads all queues until a UDP datagram with the data comes, which must be correct.
func wantDatagram(t testing.TB, d *Device, data string) {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { d.Close() })
	defer timeout.Stop()
	found := false
	deliver := func(b []byte, o ip.Offload) {
		var p ip.Packet
		if p.Parse(b, o) != ip.DropNone || p.Protocol != ip.ProtocolUDP || string(p.Payload[8:]) != data {
			return
		}
		if found = true; !p.TransportChecksumOK() {
			t.Errorf("the datagram %q came with offload %+v and a wrong checksum", data, o)
		}
	}
	var err error
	for queue := awaitInput(t, d); !found && err == nil; queue = (queue + 1) % d.Queues() {
		if d.Queues() == 1 {
			err = d.Read(queue, 8, deliver)
		} else {
			_, err = d.Poll(queue, 8, deliver)
		}
	}
	if err != nil {
		t.Fatalf("waiting for the datagram %q: %v", data, err)
	}
}

// awaitInput waits until one of several queues has a frame, and says which.
func awaitInput(t testing.TB, d *Device) int {
	t.Helper()
	if d.Queues() == 1 {
		return 0
	}
	fds := make([]unix.PollFd, d.Queues())
	for i, q := range d.queues {
		q.end.Load().conn.Control(func(fd uintptr) { fds[i] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN} })
	}
	if n, err := unix.Poll(fds, 20000); n == 0 {
		t.Fatalf("no queue has a frame (%v)", err)
	}
	for i, p := range fds {
		if p.Revents != 0 {
			return i
		}
	}
	return 0
}

func TestCreateConfiguresAndGoesAway(t *testing.T) {
	needRoot(t, "creating a device")
	for _, queues := range []int{0, 1, 3} {
		cfg := setUp(t)
		cfg.Queues = queues
		wanted := queues
		if queues == 0 {
			wanted = min(runtime.NumCPU(), autoQueues)
		}
		before := headerErrors(t)
		d := mustOpen(t, cfg)
		if after := headerErrors(t); after != before {
			t.Errorf("probing reached the IP input of the kernel")
		}
		link := mustLink(t, testName)
		a := link.Attrs()
		if a.MTU != 1400 || d.MTU() != 1400 || a.TxQLen != txQueueLen || a.Flags&net.FlagUp == 0 || d.Queues() != wanted {
			t.Errorf("MTU %d and %d, ring %d, %v, %d queues", a.MTU, d.MTU(), a.TxQLen, a.Flags, d.Queues())
		}
		addresses, err := netlink.AddrList(link, netlink.FAMILY_ALL)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, a := range addresses {
			for _, p := range cfg.Host {
				if prefixOf(a.IPNet) == p && a.Flags&unix.IFA_F_TENTATIVE == 0 {
					found++
				}
			}
		}
		if found != 2 {
			t.Errorf("addresses %v, want %v usable at once", addresses, cfg.Host)
		}
		if s := d.Stats(); !s.LinkUp || !s.VirtioHdr || !s.GSO || s.Persistent || !s.KernelDroppedKnown {
			t.Errorf("state %+v", s)
		}
		d.Close()
		if _, err := netlink.LinkByName(testName); err == nil {
			t.Error("the device we created is still there after Close")
		}
	}
}

// headerErrors returns the number of packets that the kernel's IP input found faulty.
func headerErrors(t testing.TB) string {
	b, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(b), "\n") // first the names of IP's counters, then their values
	for i, name := range strings.Fields(lines[0]) {
		if name == "InHdrErrors" {
			return strings.Fields(lines[1])[i]
		}
	}
	t.Fatal("the kernel has no counter InHdrErrors")
	return ""
}

// Whatever an administrator made beforehand is attached to, with what it offers, and is there afterwards.
func TestAttachToWhatIsThere(t *testing.T) {
	needRoot(t, "attaching to persistent devices")
	for _, create := range []bool{false, true} {
		for _, kind := range []uint16{0, unix.IFF_MULTI_QUEUE, unix.IFF_VNET_HDR, unix.IFF_MULTI_QUEUE | unix.IFF_VNET_HDR} {
			for _, offload := range []Offload{OffloadAuto, OffloadOn, OffloadOff} {
				t.Run(fmt.Sprintf("create=%v,flags=%#x,offload=%v", create, kind, offload), func(t *testing.T) {
					attachToPersistent(t, create, kind, offload)
				})
			}
		}
	}
}

func attachToPersistent(t *testing.T, create bool, kind uint16, offload Offload) {
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|kind, 0)
	cfg := setUp(t)
	if !create {
		prepare(t, cfg)
	}
	index := mustLink(t, testName).Attrs().Index
	cfg.Create, cfg.Offload = create, offload
	if kind&unix.IFF_MULTI_QUEUE != 0 {
		cfg.Queues = 2
	}
	d := mustOpen(t, cfg)
	if s := d.Stats(); s.GSO != (offload != OffloadOff) || !s.Persistent || d.MTU() != 1400 {
		t.Errorf("GSO %v, persistent %v, MTU %d", s.GSO, s.Persistent, d.MTU())
	}
	for _, to := range []netip.Addr{ourAddress4, ourAddress6} {
		sendDatagram(t, to, "hello")
		wantDatagram(t, d, "hello")
	}
	d.Close()
	if now := mustLink(t, testName).Attrs().Index; now != index {
		t.Error("the device is another one than before")
	}
	remove(testName)
}

// prepare sets the host's side up as an administrator would.
func prepare(t testing.TB, cfg Config) {
	t.Helper()
	v, err := newView()
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	f, err := v.look(cfg.Name)
	if err == nil {
		err = v.configure(f, cfg, t.Logf)
	}
	if err != nil {
		t.Fatal(err)
	}
}
