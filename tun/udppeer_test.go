package tun

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// linkLocals makes a pair of interfaces, with addresses that are good at once, and returns these.
func linkLocals(t *testing.T, names [2]string) (addrs [2]netip.Addr) {
	t.Helper()
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: names[0]}, PeerName: names[1]}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { remove(names[0]) })
	for i, name := range names {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/addr_gen_mode", []byte("1"), 0); err != nil { // none
			t.Fatal(err)
		}
		p := netip.MustParsePrefix(fmt.Sprintf("fe80::%d/64", i+1))
		if err := netlink.AddrAdd(mustLink(t, name), addressOf(p)); err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(mustLink(t, name)); err != nil {
			t.Fatal(err)
		}
		addrs[i] = p.Addr()
	}
	return addrs
}

// The address of a link-local peer is one on each interface: the answer leaves by that on which it was heard.
func TestUDPAnswersLinkLocalPeers(t *testing.T) {
	needRoot(t, "link-local peers")
	u := mustUDP(t, UDPConfig{Local: netip.MustParseAddrPort("[::]:0"), AnyPeer: true})
	for i := range 2 { // the addresses are the same on both
		run := rand.Uint32() // package net remembers which interface had a name for a minute
		names := [2]string{fmt.Sprintf("u%d-%x", 2*i, run), fmt.Sprintf("u%d-%x", 2*i+1, run)}
		addrs := linkLocals(t, names)
		c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: addrs[1].AsSlice(), Zone: names[1], Port: 7})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		to := netip.AddrPortFrom(addrs[0].WithZone(names[1]), u.LocalAddr().Port())
		for range 2 {
			if _, err := c.WriteToUDPAddrPort([]byte{0x60}, to); err != nil {
				t.Fatal(err)
			}
			receiveAll(t, u, 1)
			if err := u.Write(0, outgoing(6, 0, 10)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Read(make([]byte, 100)); err != nil {
				t.Fatalf("the answer to %v on %s did not come: %v", u.peer.Load(), names[0], err)
			}
		}
	}
}

// Two who take turns, or one who forges it, get as many changes of the peer as they want, and not as many lines of the log.
func TestUDPManyPeersAreLoggedSeldom(t *testing.T) {
	lines := 0
	u := &UDP{
		cfg:   UDPConfig{Local: netip.MustParseAddrPort("127.0.0.1:0"), AnyPeer: true, Logf: func(string, ...any) { lines++ }},
		moved: make(chan struct{}, 1),
	}
	conn, err := u.cfg.open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	u.conn = conn
	u.told = time.Now().Add(time.Hour - peerToldEvery) // the time of the test does not matter
	for i := range 1000 {
		u.heard(&unix.SockaddrInet4{Port: 1 + i%2, Addr: [4]byte{127, 0, 0, 1}})
		if want := uint16(1 + i%2); u.peer.Load().Port() != want {
			t.Fatalf("the peer is %v, want port %d", u.peer.Load(), want)
		}
	}
	if lines != 0 {
		t.Errorf("%d lines, want none so soon after the last", lines)
	}
	u.told = time.Now().Add(-peerToldEvery)
	for range 2 {
		u.heard(&unix.SockaddrInet4{Port: 3, Addr: [4]byte{127, 0, 0, 1}})
	}
	if lines != 1 {
		t.Errorf("%d lines about a change later, want 1", lines)
	}
}

func TestUDPFollowsThePathsOfManyPeersSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u, followed := &UDP{moved: make(chan struct{}, 1), closing: make(chan struct{})}, 0
		go u.watchPath(func() { followed++ })
		move := func() {
			select {
			case u.moved <- struct{}{}:
			default:
			}
			synctest.Wait()
		}
		synctest.Wait()
		if move(); followed != 1 {
			t.Errorf("the path of a new peer was followed %d times, want once, at once", followed)
		}
		for range 1000 {
			time.Sleep(time.Millisecond)
			move()
		}
		if followed > 2 {
			t.Errorf("with a new peer every millisecond paths were followed %d times in a second", followed)
		}
		before := followed
		move()
		time.Sleep(2 * time.Second)
		if synctest.Wait(); followed != before+1 {
			t.Errorf("followed %d times, and %d before the last peer, whose path has to be followed too", followed, before)
		}
		close(u.closing)
	})
}

// What is no IP packet does not come from a tcpd.
func TestUDPPeersSendPackets(t *testing.T) {
	u := mustUDP(t, UDPConfig{Local: netip.MustParseAddrPort("127.0.0.1:0"), AnyPeer: true})
	c, err := net.Dial("udp", u.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range [][]byte{{0}, {0x35, 1}, {0x75}} {
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
		u.Read(0, 1, func([]byte, ip.Offload) {})
		if to := u.peer.Load(); to != nil {
			t.Errorf("%v after %#x", to, b)
		}
	}
}
