package tun

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ether"
	"tcpd/ip"
)

const tapName = "taptest0"

// setUpTAP is a host 10.77.1.2 and fd77:1::2 on an Ethernet with the kernel as 10.77.1.1 and fd77:1::1.
func setUpTAP(t testing.TB) TAPConfig {
	return TAPConfig{
		Name: tapName, Create: true, MTU: 1400, Logf: t.Logf,
		Host:      []netip.Prefix{netip.MustParsePrefix("10.77.1.1/24"), netip.MustParsePrefix("fd77:1::1/64")},
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.1.2/24"), netip.MustParsePrefix("fd77:1::2/64")},
	}
}

// onlyIPv6 makes the check of addresses a matter of a second or two.
func onlyIPv6(t testing.TB) TAPConfig {
	cfg := setUpTAP(t)
	cfg.Host, cfg.Addresses = cfg.Host[1:], cfg.Addresses[1:]
	return cfg
}

func mustOpenTAP(t testing.TB, cfg TAPConfig) *TAP {
	t.Helper()
	d, err := OpenTAP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// Whatever songgao/water does to a device, an administrator's is the same afterwards.
func TestWaterKeepsPersistentDevices(t *testing.T) {
	needRoot(t, "that songgao/water deletes no device of an administrator")
	for _, kind := range []uint16{0, unix.IFF_MULTI_QUEUE, unix.IFF_VNET_HDR} {
		persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI|kind, stranger)
		before := mustLook(t, tapName)
		for range 3 {
			file, err := openTAP(tapName, mustLook(t, tapName))
			if err != nil {
				t.Fatalf("flags %#x: %v", kind, err)
			}
			conn, _ := file.SyscallConn()
			conn.Control(func(fd uintptr) {
				if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
					t.Errorf("programs that are started inherit the descriptor: %v", err)
				}
			})
			file.Close()
			after := mustLook(t, tapName)
			if !after.persistent || after.index != before.index || after.uid != before.uid || after.gid != before.gid {
				t.Fatalf("flags %#x: the device was %+v and is %+v", kind, before, after)
			}
		}
		remove(tapName)
	}
}

// Images of machines and containers come with an identity that is empty, or "uninitialized" (machine-id(5)).
func TestMACWithoutIdentity(t *testing.T) {
	none := ether.DeriveMAC([16]byte{}, "tap0 10.77.1.2")
	for _, tt := range []struct {
		identity string
		complete bool
	}{
		{"", false}, {"uninitialized\n", false}, {"abc", false}, {strings.Repeat("x", 32), false}, {strings.Repeat("ab", 17), false},
		{strings.Repeat("ab", 16) + "\n", true},
	} {
		file := filepath.Join(t.TempDir(), "machine-id")
		if err := os.WriteFile(file, []byte(tt.identity), 0o600); err != nil {
			t.Fatal(err)
		}
		warnings := 0
		cfg := TAPConfig{Name: "tap0", Addresses: setUpTAP(t).Addresses, Logf: func(string, ...any) { warnings++ }}
		if mac := deriveMAC(&cfg, file); (mac != none) != tt.complete || (warnings == 0) != tt.complete {
			t.Errorf("the identity %q gives %v with %d warnings", tt.identity, mac, warnings)
		}
	}
}

func mustLook(t testing.TB, name string) facts {
	t.Helper()
	v, err := newView()
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	f, err := v.look(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A device that was not there goes with us.
func TestWaterLeavesNoDevice(t *testing.T) {
	needRoot(t, "that a device of our making goes away")
	file, err := openTAP(tapName, facts{})
	if err != nil {
		t.Fatal(err)
	}
	if f := mustLook(t, tapName); !f.tap || f.persistent {
		t.Errorf("made %+v, want a TAP that is not persistent", f)
	}
	file.Close()
	if f := mustLook(t, tapName); f.exists {
		t.Errorf("left %+v", f)
	}
}

// The package loses a descriptor for each open that fails; none of ours gets that far.
func TestFailedTAPOpensLeaveNoFiles(t *testing.T) {
	needRoot(t, "open files after failures")
	persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI, 0)
	first, err := openTAP(tapName, mustLook(t, tapName))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	cycle := func() {
		cfg := onlyIPv6(t)
		if _, err := OpenTAP(cfg); !errors.Is(err, unix.EBUSY) {
			t.Fatalf("a busy device: %v", err)
		}
		for _, name := range []string{"a/b", "tap%d", "longer-than-an-interface"} {
			if cfg.Name = name; tapFailure(cfg) == "" {
				t.Fatalf("a device named %q was opened", name)
			}
		}
	}
	cycle()
	before := openFiles(t)
	for range 20 {
		cycle()
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

func tapFailure(cfg TAPConfig) string {
	d, err := OpenTAP(cfg)
	if err != nil {
		return err.Error()
	}
	d.Close()
	return ""
}

// The kernel is the other host on the Ethernet: it finds us, and we find it.
func TestTAPWithTheKernel(t *testing.T) {
	needRoot(t, "a TAP with the kernel as neighbour")
	d := mustOpenTAP(t, setUpTAP(t))
	defer d.Close()
	if d.MTU() != 1400 || d.Queues() != 1 {
		t.Errorf("MTU %d, %d queues", d.MTU(), d.Queues())
	}
	for _, pair := range []struct{ kernel, ours string }{{"10.77.1.1", "10.77.1.2"}, {"fd77:1::1", "fd77:1::2"}} {
		kernel, ours := netip.MustParseAddr(pair.kernel), netip.MustParseAddr(pair.ours)
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(kernel, 7777)))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := c.WriteToUDPAddrPort([]byte("hello"), netip.AddrPortFrom(ours, 9)); err != nil {
			t.Fatal(err)
		}
		wantFromTAP(t, d, "hello")
		b := datagramTo(ours, kernel, 7777, "back")
		for _, p := range []*ip.Outgoing{{Header: b}, {Header: b[:len(b)-4], Payload: [][]byte{[]byte("back")}}} {
			if err := d.Write(0, p); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			if n, _, err := c.ReadFromUDP(buf); err != nil || string(buf[:n]) != "back" {
				t.Errorf("the kernel at %v got %q, %v", kernel, buf[:n], err)
			}
		}
	}
	ours, away := netip.MustParseAddr("10.77.1.2"), netip.MustParseAddr("192.0.2.1")
	for _, b := range [][]byte{{0x45}, append(datagramTo(ours, away, 7, "x"), make([]byte, 1400)...), datagramTo(ours, away, 7, "x")} {
		if err := d.Write(0, &ip.Outgoing{Header: b}); err != nil {
			t.Errorf("a packet that cannot be sent ends the link: %v", err)
		}
	}
	s := d.Stats()
	if s.WriteDrops[WriteMalformed] != 1 || s.WriteDrops[WriteTooLong] != 1 || s.Ether.Losses[ether.NoRoute] != 1 {
		t.Errorf("one is malformed, one too long, one without a route; counted %v, %v", s.WriteDrops, s.Ether.Losses)
	}
	if s.Ether == nil || s.Ether.Answers < 2 || s.Ether.Delivered < 2 || s.VirtioHdr {
		t.Errorf("counted %+v, %+v", s, s.Ether)
	}
	if err := d.Close(); err != nil || mustLook(t, tapName).exists {
		t.Errorf("after Close (%v) the device we created is still there", err)
	}
	if err := d.Read(0, 1, nil); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read after Close: %v", err)
	}
}

// wantFromTAP reads until a UDP datagram with the data comes.
func wantFromTAP(t *testing.T, d *TAP, data string) {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { d.Close() })
	defer timeout.Stop()
	for found := false; !found; {
		err := d.Read(0, 8, func(b []byte, o ip.Offload) {
			var p ip.Packet
			if p.Parse(b, o) == ip.DropNone && p.Protocol == ip.ProtocolUDP && string(p.Payload[8:]) == data {
				found = p.TransportChecksumOK()
			}
		})
		if err != nil {
			t.Fatalf("waiting for %q: %v", data, err)
		}
	}
}

// datagramTo returns a whole UDP packet.
func datagramTo(from, to netip.Addr, port uint16, data string) []byte {
	h := ip.Header{Src: ip.AddrFrom(from), Dst: ip.AddrFrom(to), Protocol: ip.ProtocolUDP, PayloadLen: 8 + len(data)}
	b := make([]byte, h.Len(), 100)
	h.Put(b)
	udp := append([]byte{0, 9, byte(port >> 8), byte(port), 0, byte(8 + len(data)), 0, 0}, data...)
	sum := ^ip.Sum(udp, ip.PseudoSum(h.Src, h.Dst, ip.ProtocolUDP, len(udp)))
	udp[6], udp[7] = byte(sum>>8), byte(sum)
	return append(b, udp...)
}

// An address that the kernel answers for is refused, and its device stays.
func TestTAPConflict(t *testing.T) {
	needRoot(t, "an address that is taken")
	persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI, 0)
	for i := range 2 {
		cfg := setUpTAP(t)
		cfg.Host[i] = netip.PrefixFrom(cfg.Addresses[i].Addr(), cfg.Host[i].Bits())
		cfg.Host, cfg.Addresses = cfg.Host[i:i+1], cfg.Addresses[i:i+1]
		said := tapFailure(cfg)
		if !strings.Contains(said, cfg.Addresses[0].Addr().String()+" is taken: "+mustLook(t, tapName).mac.String()) {
			t.Errorf("%q does not say who has the address", said)
		}
	}
}

// downTAP opens a TAP of an administrator that is down, of which the kernel's side has the address that is to be ours.
func downTAP(t *testing.T, reattachFor time.Duration) (d *TAP, await func(string)) {
	t.Helper()
	persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI, 0)
	if err := netlink.AddrAdd(mustLink(t, tapName), addressOf(netip.MustParsePrefix("10.77.1.2/24"))); err != nil {
		t.Fatal(err)
	}
	cfg := setUpTAP(t)
	cfg.Create, cfg.Host, cfg.MTU, cfg.Addresses, cfg.ReattachFor = false, nil, 0, cfg.Addresses[:1], reattachFor
	cfg.Logf, await = messages(t)
	return mustOpenTAP(t, cfg), await
}

func hasAddresses(d *TAP) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.host.Ready()
}

// wantEnd reads until the link ends, with an error that says what is wanted.
func wantEnd(t *testing.T, d *TAP, want string) {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { d.Close() })
	defer timeout.Stop()
	for {
		err := d.Read(0, 8, func([]byte, ip.Offload) {})
		if err == nil {
			continue
		}
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the link ended with %v, want %q", err, want)
		}
		return
	}
}

// RFC 5227, section 2.1: addresses are checked before they are used, and on a link that is down nobody hears the question.
func TestTAPChecksWhenTheLinkIsUp(t *testing.T) {
	needRoot(t, "the check of addresses on a link that is down")
	d, await := downTAP(t, time.Minute)
	await("while the link is down")
	if n := d.Stats().WriteDrops[WriteLinkDown]; n != 0 || hasAddresses(d) {
		t.Errorf("%d questions were lost because the link is down; the host has its addresses: %v", n, hasAddresses(d))
	}
	if err := netlink.LinkSetUp(mustLink(t, tapName)); err != nil {
		t.Fatal(err)
	}
	wantEnd(t, d, "10.77.1.2 is taken: "+mustLook(t, tapName).mac.String())
}

// The wait for a link that is down ends with the device, and with Close.
func TestTAPThatStaysDown(t *testing.T) {
	needRoot(t, "a link that is down for good")
	d, await := downTAP(t, 100*time.Millisecond)
	await("while the link is down")
	remove(tapName)
	wantEnd(t, d, "was deleted")
	d, _ = downTAP(t, time.Minute)
	d.Close()
	wantEnd(t, d, os.ErrClosed.Error())
}

// A link that goes down during the check is asked again when it is back; one that is deleted is waited for meanwhile.
func TestTAPCheckIsInterrupted(t *testing.T) {
	needRoot(t, "a link that goes down during the check of addresses")
	for _, interrupt := range []func() error{
		func() error { return netlink.LinkSetDown(mustLink(t, tapName)) },
		func() error { return remove(tapName) },
	} {
		persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI, 0)
		if err := netlink.LinkSetUp(mustLink(t, tapName)); err != nil {
			t.Fatal(err)
		}
		cfg := setUpTAP(t)
		cfg.Create, cfg.Host, cfg.MTU, cfg.Addresses = false, nil, 0, cfg.Addresses[:1]
		cfg.Logf = func(format string, args ...any) {
			if strings.Contains(format, "checking") {
				if err := interrupt(); err != nil {
					t.Error(err)
				}
			}
		}
		d := mustOpenTAP(t, cfg)
		if hasAddresses(d) {
			t.Error("the host has its addresses, though nobody could be asked")
		}
		d.Close()
		remove(tapName)
	}
}

func TestTAPJoinsBridge(t *testing.T) {
	needRoot(t, "a TAP as a port of a bridge")
	cfg := onlyIPv6(t)
	cfg.Bridge, cfg.Host = "brtest0", nil
	if said := tapFailure(cfg); !strings.Contains(said, "ip link add brtest0 type bridge") {
		t.Errorf("no bridge: %q", said)
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "brtest0"}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { netlink.LinkDel(bridge) })
	mustOpenTAP(t, cfg)
	if f := mustLook(t, tapName); f.master != mustLook(t, "brtest0").index || f.master == 0 {
		t.Errorf("the device is a port of %d", f.master)
	}
}

func TestTAPErrorsSayWhichSideToChange(t *testing.T) {
	needRoot(t, "what is said about devices that cannot be attached to")
	for _, tt := range []struct {
		name   string
		make   func()
		change func(*TAPConfig)
		wants  []string
	}{
		{"nothing there", nil, func(c *TAPConfig) { c.Create = false }, []string{"no such device", "mode tap user"}},
		{"no TAP", nil, func(c *TAPConfig) { c.Name = "lo" }, []string{"not a TUN", "tun.name"}},
		{"a TUN", func() { persist(t, tapName, unix.IFF_TUN|unix.IFF_NO_PI, 0) }, func(*TAPConfig) {}, []string{"is a TUN", "tun.mode: tun"}},
		{"the kernel's MAC", func() { persist(t, tapName, unix.IFF_TAP|unix.IFF_NO_PI, 0) },
			func(c *TAPConfig) { c.MAC = mustLook(t, tapName).mac }, []string{"kernel's side", "tun.mac"}},
		{"a group's MAC", nil, func(c *TAPConfig) { c.MAC = ether.Broadcast }, []string{"ff:ff:ff:ff:ff:ff"}},
	} {
		if tt.make != nil {
			tt.make()
		}
		cfg := onlyIPv6(t)
		tt.change(&cfg)
		said := tapFailure(cfg)
		if slices.ContainsFunc(tt.wants, func(w string) bool { return !strings.Contains(said, w) }) {
			t.Errorf("%s: %q, want %q", tt.name, said, tt.wants)
		}
		remove(tapName)
	}
}
