package tun

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"tcpd/ip"
)

var loopbacks = []string{"127.0.0.1", "::1"}

// udpPair returns two UDP links pinned to each other.
func udpPair(t *testing.T, host string) (a, b *UDP) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
	first := mustUDP(t, UDPConfig{Local: at, AnyPeer: true})
	b = mustUDP(t, UDPConfig{Local: at, Peer: first.LocalAddr()})
	first.Close() // its port is known now, and b's too
	a = mustUDP(t, UDPConfig{Local: first.LocalAddr(), Peer: b.LocalAddr()})
	return a, b
}

func mustUDP(t *testing.T, cfg UDPConfig) *UDP {
	t.Helper()
	cfg.Logf = t.Logf
	u, err := OpenUDP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	return u
}

// receiveAll reads until there were n packets.
func receiveAll(t *testing.T, u *UDP, n int) (got [][]byte) {
	t.Helper()
	for len(got) < n {
		err := u.Read(0, 64, func(b []byte, o ip.Offload) {
			if o != (ip.Offload{}) {
				t.Errorf("a packet arrived with offload %+v", o)
			}
			got = append(got, slices.Clone(b))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return got
}

func TestUDPCarriesSuperPacketsInSegments(t *testing.T) {
	for _, host := range loopbacks {
		for _, version := range []int{4, 6} {
			a, b := udpPair(t, host)
			for _, ends := range [][2]*UDP{{a, b}, {b, a}} {
				if err := ends[0].Write(0, outgoing(version, 1000, 20_000)); err != nil {
					t.Fatal(err)
				}
				var data []byte
				for _, raw := range receiveAll(t, ends[1], 20) {
					var p ip.Packet
					if d := p.Parse(raw, ip.Offload{}); d != ip.DropNone || !p.TransportChecksumOK() {
						t.Fatalf("%s, IPv%d: a segment of %d bytes does not parse (%v) or has a wrong checksum", host, version, len(raw), d)
					}
					data = append(data, p.Payload[tcpHeaderMin:]...)
				}
				want := bytes.Join(outgoing(version, 1000, 20_000).Payload, nil)
				if !bytes.Equal(data, want) {
					t.Fatalf("%s, IPv%d: the data are not those sent", host, version)
				}
			}
		}
	}
}

func TestUDPTakesNothingFromStrangers(t *testing.T) {
	for _, host := range loopbacks {
		a, b := udpPair(t, host)
		stranger, err := net.Dial("udp", a.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer stranger.Close()
		if _, err := stranger.Write([]byte("not from the peer")); err != nil {
			t.Fatal(err)
		}
		want := flatten(outgoing(4, 0, 10))
		if err := b.Write(0, &ip.Outgoing{Header: want, NetworkLen: ip.HeaderLen4}); err != nil {
			t.Fatal(err)
		}
		if got := receiveAll(t, a, 1); !bytes.Equal(got[0], want) {
			t.Errorf("%s: received %q first, want the packet of the pinned peer", host, got[0])
		}
	}
}

func TestUDPAnyPeerFollowsWhoWasHeardLast(t *testing.T) {
	for _, host := range loopbacks {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
		hub := mustUDP(t, UDPConfig{Local: at, AnyPeer: true})
		packet := &ip.Outgoing{Header: flatten(outgoing(4, 0, 10)), NetworkLen: ip.HeaderLen4}
		if err := hub.Write(0, packet); err != nil {
			t.Fatal(err)
		}
		if n := hub.Stats().WriteDrops[WriteNoPeer]; n != 1 {
			t.Errorf("%s: %d packets to nobody counted, want 1", host, n)
		}
		for range 2 {
			peer := mustUDP(t, UDPConfig{Local: at, Peer: hub.LocalAddr()})
			if err := peer.Write(0, packet); err != nil {
				t.Fatal(err)
			}
			receiveAll(t, hub, 1)
			if err := hub.Write(0, packet); err != nil {
				t.Fatal(err)
			}
			receiveAll(t, peer, 1)
		}
	}
}

func TestUDPSurvivesAPeerThatIsNotThereYet(t *testing.T) {
	for _, host := range loopbacks {
		at := netip.AddrPortFrom(netip.MustParseAddr(host), 0)
		gone := mustUDP(t, UDPConfig{Local: at, AnyPeer: true})
		gone.Close()
		u := mustUDP(t, UDPConfig{Local: at, Peer: gone.LocalAddr()})
		packet := &ip.Outgoing{Header: flatten(outgoing(4, 0, 10)), NetworkLen: ip.HeaderLen4}
		for range 3 { // the second finds the refusal that the first has caused
			if err := u.Write(0, packet); err != nil {
				t.Fatalf("%s: a peer that is not there ended the link: %v", host, err)
			}
		}
		peer := mustUDP(t, UDPConfig{Local: gone.LocalAddr(), Peer: u.LocalAddr()})
		if err := peer.Write(0, packet); err != nil {
			t.Fatal(err)
		}
		receiveAll(t, u, 1)
		if u.Stats().WriteDrops[WriteNoPeer] == 0 {
			t.Errorf("%s: no packet was counted as lost for want of a peer", host)
		}
	}
}

func TestUDPMTUIsThatOfThePath(t *testing.T) {
	for host, overhead := range map[string]int{"127.0.0.1": 28, "::1": 48} {
		a, _ := udpPair(t, host)
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		if want := min(lo.MTU-overhead, maxUDPPayload); a.MTU() != want {
			t.Errorf("%s: MTU %d, want %d", host, a.MTU(), want)
		}
		small := mustUDP(t, UDPConfig{Local: netip.AddrPortFrom(netip.MustParseAddr(host), 0), Peer: a.LocalAddr(), MTU: 1300})
		if small.MTU() != 1300 {
			t.Errorf("%s: MTU %d, want the 1300 configured", host, small.MTU())
		}
	}
}

func TestUDPFollowsAPathThatShrinks(t *testing.T) {
	needRoot(t, "a UDP link follows the MTU of its path")
	a, _ := udpPair(t, "127.0.0.1")
	lo := mustLink(t, "lo")
	setMTU := func(mtu int) {
		if err := netlink.LinkSetMTU(lo, mtu); err != nil {
			t.Fatal(err)
		}
	}
	setMTU(1400)
	defer setMTU(lo.Attrs().MTU)
	if err := a.Write(0, outgoing(4, 0, 2000)); err != nil {
		t.Fatal(err)
	}
	if n := a.Stats().WriteDrops[WriteTooLong]; n != 1 {
		t.Errorf("%d packets counted as too long, want 1", n)
	}
	if a.MTU() != 1400-28 {
		t.Errorf("MTU %d after a packet was too long for the path, want %d", a.MTU(), 1400-28)
	}
}

// A link on 0.0.0.0 is one of IPv4: Go would take both families.
func TestUDPOnEveryAddressOfIPv4(t *testing.T) {
	u := mustUDP(t, UDPConfig{Local: netip.MustParseAddrPort("0.0.0.0:0"), AnyPeer: true})
	port := u.LocalAddr().Port()
	six, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6zero, Port: int(port)})
	if err != nil {
		t.Fatalf("a link on 0.0.0.0 takes port %d of IPv6: %v", port, err)
	}
	six.Close()
	peer := mustUDP(t, UDPConfig{Local: netip.MustParseAddrPort("127.0.0.1:0"), Peer: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port)})
	if err := peer.Write(0, outgoing(4, 0, 10)); err != nil {
		t.Fatal(err)
	}
	receiveAll(t, u, 1)
}

// What is around a packet depends on the peer, which may be of either family on a link on [::].
func TestUDPMTUFollowsThePeer(t *testing.T) {
	needRoot(t, "the MTU of a UDP link after a change of its peer")
	lo := mustLink(t, "lo")
	if err := netlink.LinkSetMTU(lo, 1500); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkSetMTU(lo, lo.Attrs().MTU)
	u := mustUDP(t, UDPConfig{Local: netip.MustParseAddrPort("[::]:0"), AnyPeer: true})
	for _, tt := range []struct {
		host string
		want int
	}{{"127.0.0.1", 1472}, {"::1", 1452}, {"127.0.0.1", 1472}} {
		host := netip.MustParseAddr(tt.host)
		peer := mustUDP(t, UDPConfig{Local: netip.AddrPortFrom(host, 0), Peer: netip.AddrPortFrom(host, u.LocalAddr().Port())})
		if err := peer.Write(0, outgoing(4, 0, 10)); err != nil {
			t.Fatal(err)
		}
		receiveAll(t, u, 1)
		deadline := time.Now().Add(20 * time.Second)
		for u.MTU() != tt.want && time.Now().Before(deadline) {
			time.Sleep(time.Millisecond)
		}
		if u.MTU() != tt.want {
			t.Errorf("MTU %d with %v as peer, want %d", u.MTU(), host, tt.want)
		}
	}
}

func TestUDPCloseEndsRead(t *testing.T) {
	a, _ := udpPair(t, "127.0.0.1")
	ended := make(chan error)
	go func() { ended <- a.Read(0, 8, func([]byte, ip.Offload) {}) }()
	a.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrClosed) {
			t.Errorf("Read ended with %v, want os.ErrClosed", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("Read goes on after Close")
	}
	if _, err := a.Poll(0, 8, func([]byte, ip.Offload) {}); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Poll after Close: %v, want os.ErrClosed", err)
	}
	if err := a.Write(0, outgoing(4, 1000, 10)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("Write after Close: %v, want os.ErrClosed", err)
	}
}

func TestUDPRefusesWhatMakesNoSense(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("127.0.0.1:7"), netip.MustParseAddrPort("[::1]:7")
	for what, cfg := range map[string]UDPConfig{
		"no local address":  {Peer: v4},
		"no peer":           {Local: v4},
		"port 0 as peer":    {Local: v4, Peer: netip.MustParseAddrPort("127.0.0.1:0")},
		"two families":      {Local: v4, Peer: v6},
		"an MTU too small":  {Local: v4, Peer: v4, MTU: 20},
		"an MTU too large":  {Local: v4, Peer: v4, MTU: 65536},
		"everybody as peer": {Local: v4, Peer: netip.MustParseAddrPort("0.0.0.0:7")},
	} {
		if u, err := OpenUDP(cfg); err == nil {
			u.Close()
			t.Errorf("%s was accepted", what)
		}
	}
}
