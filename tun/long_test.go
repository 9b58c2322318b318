package tun

import (
	"bytes"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// newLongFake opens a fake whose kernel takes super-packets of more than 64 KiB.
func newLongFake(t *testing.T, header bool) *fakeDevice {
	f := newFake(t, 1, header)
	f.long = true
	f.at.long.Store(true)
	return f
}

func TestLongSuperPacketsAreWrittenWhole(t *testing.T) {
	for _, version := range []int{4, 6} {
		f := newLongFake(t, true)
		p := outgoing(version, 1448, 150_000)
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		frame := f.take(0)
		if len(frame) != headerLen+p.Len() || !bytes.Equal(frame[headerLen:], flatten(p)) {
			t.Errorf("IPv%d: wrote %d bytes, want %d and the virtio header", version, len(frame), p.Len())
		}
		if s := f.Stats(); s.Written != (Traffic{1, uint64(p.Len()), 1}) || s.Segmented != 0 {
			t.Errorf("IPv%d: counted %+v, %d cut", version, s.Written, s.Segmented)
		}
	}
}

// wantParts takes the super-packets that p is written as, n of them, and checks that their segments are those of p.
func wantParts(t *testing.T, f *fakeDevice, n int, p *ip.Outgoing) {
	t.Helper()
	var direct, got [][]byte
	collect := func(to *[][]byte) func(*ip.Outgoing) error {
		return func(o *ip.Outgoing) error {
			*to = append(*to, flatten(o))
			return nil
		}
	}
	if err := new(ip.Segmenter).Split(p, collect(&direct)); err != nil {
		t.Fatal(err)
	}
	for range n {
		packet, o, drop := parseHeader(f.take(0))
		part, ok := asOutgoing(packet, o)
		if drop != HeaderOK || !ok {
			t.Fatalf("a part of %d bytes with %+v (%v)", len(packet), o, drop)
		}
		if err := new(ip.Segmenter).Split(&part, collect(&got)); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.EqualFunc(got, direct, bytes.Equal) {
		t.Fatalf("the segments of the parts, %d, are not those of the whole, %d", len(got), len(direct))
	}
	f.silent(0)
}

func TestLongSuperPacketsThatAreRefusedAreCut(t *testing.T) {
	for _, version := range []int{4, 6} {
		for errno, again := range map[syscall.Errno]int{unix.EMSGSIZE: 0, unix.EINVAL: 0, unix.ENOBUFS: 1, unix.ENOMEM: 1, unix.EAGAIN: 1} {
			f := newLongFake(t, true)
			refused := 0
			f.failWrites(func(frame []byte) syscall.Errno {
				if len(frame) > headerLen+maxPacket {
					refused++
					return errno
				}
				return 0
			})
			p := outgoing(version, 1448, 200_000)
			for range 2 {
				if err := f.Write(0, p); err != nil {
					t.Fatal(err)
				}
				wantParts(t, f, 4, p)
			}
			s := f.Stats()
			if refused != 1+again || s.WriteDrops != [NumWriteDrops]uint64{} || !s.GSO || s.Fallbacks != uint64(1-again) || len(f.logged) != 1-again {
				t.Errorf("IPv%d, %v: refused %d times, dropped %v, GSO %v, %d fallbacks, logged %q; want %d times",
					version, errno, refused, s.WriteDrops, s.GSO, s.Fallbacks, f.logged, 1+again)
			}
		}
	}
}

// A connection goes on writing long super-packets when the device it came back to takes none, or no super-packets at all.
func TestLongSuperPacketsWhereNoneAreTaken(t *testing.T) {
	for _, version := range []int{4, 6} {
		f := newFake(t, 1, true)
		p := outgoing(version, 1448, 200_000)
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		wantParts(t, f, 4, p)

		p = outgoing(version, 1448, 65_500) // more than a header of IPv4 can tell
		if err := f.Write(0, p); err != nil {
			t.Fatal(err)
		}
		wantParts(t, f, map[int]int{4: 2, 6: 1}[version], p)

		f = newFake(t, 1, false)
		small := outgoing(version, 1000, 70_000)
		if err := f.Write(0, small); err != nil {
			t.Fatal(err)
		}
		wantSegments(t, f, small, 0)
	}
}

// A peer on this host gets them, one behind the link or elsewhere does not: what is forwarded would be cut on the way.
func TestLongestByPeer(t *testing.T) {
	needRoot(t, "a device")
	d := mustOpen(t, setUp(t))
	f, err := d.view.look(testName)
	if err != nil {
		t.Fatal(err)
	}
	here := shortPacket
	if f.long { // else the kernel is older than Linux 6.3
		here = longPacket
	}
	for peer, want := range map[string]int{"10.77.0.1": here, "fd77::1": here, "10.77.0.9": shortPacket, "fd77::9": shortPacket, "192.0.2.1": shortPacket} {
		if n := d.Longest(ip.AddrFrom(netip.MustParseAddr(peer))); n != want {
			t.Errorf("%s: %d bytes, want %d", peer, n, want)
		}
	}
	off := setUp(t)
	off.Name, off.Offload, off.Host = "tcptest1", OffloadOff, nil
	if n := mustOpen(t, off).Longest(ip.AddrFrom(hostAddress4)); n != shortPacket {
		t.Errorf("without offload: %d bytes, want %d", n, shortPacket)
	}
}

func BenchmarkLongest(b *testing.B) {
	needRoot(b, "a device")
	d, peer := mustOpen(b, setUp(b)), ip.AddrFrom(hostAddress4)
	for b.Loop() {
		d.Longest(peer)
	}
}

func TestLongestWithoutAKernel(t *testing.T) {
	f := newLongFake(t, true)
	if n := f.Longest(ip.AddrFrom(hostAddress4)); n != shortPacket {
		t.Errorf("%d bytes for a peer of whom nothing is known, want %d", n, shortPacket)
	}
}
