package tun

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"tcpd/ip"
)

// behindAddress4 and behindAddress6 are behind a second device, so that the kernel forwards what we write to the first.
var (
	behindAddress4 = netip.MustParseAddr("10.78.0.2")
	behindAddress6 = netip.MustParseAddr("fd78::2")
)

// twoDevices returns a device that writes and one that gets what the kernel forwards.
func twoDevices(t testing.TB, write, read Offload) (*Device, *Device) {
	t.Helper()
	for _, knob := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(knob, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
	from, to := setUp(t), setUp(t)
	to.Name = "tcptest1"
	to.Host = []netip.Prefix{netip.MustParsePrefix("10.78.0.1/24"), netip.MustParsePrefix("fd78::1/64")}
	from.Offload, to.Offload = write, read
	return mustOpen(t, from), mustOpen(t, to)
}

// forwarded returns a super-packet for the second device.
func forwarded(version, segment, data int) *ip.Outgoing {
	p := outgoing(version, segment, data)
	src, dst := ip.AddrFrom(ourAddress4), ip.AddrFrom(behindAddress4)
	if version == 6 {
		src, dst = ip.AddrFrom(ourAddress6), ip.AddrFrom(behindAddress6)
	}
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.ProtocolTCP, TTL: 64, DontFragment: true, PayloadLen: tcpHeaderMin + data}
	n := h.Put(p.Header)
	binary.BigEndian.PutUint16(p.Header[n+tcpChecksumOffset:], ip.PseudoSum(src, dst, ip.ProtocolTCP, tcpHeaderMin+data))
	return p
}

// The kernel must understand what we write as we mean it: whole, cut by it, or cut by us.
func TestSuperPacketsThroughTheKernel(t *testing.T) {
	needRoot(t, "super-packets forwarded by the kernel")
	for _, offloads := range [][2]Offload{{OffloadOn, OffloadOn}, {OffloadOn, OffloadOff}, {OffloadOff, OffloadOn}, {OffloadOff, OffloadOff}} {
		for _, version := range []int{4, 6} {
			t.Run(fmt.Sprintf("write %v, read %v, IPv%d", offloads[0], offloads[1], version), func(t *testing.T) {
				w, r := twoDevices(t, offloads[0], offloads[1])
				p := forwarded(version, 1300, 20000)
				if err := w.Write(0, p); err != nil {
					t.Fatal(err)
				}
				packets := collect(t, r, p)
				if whole := len(packets) == 1; whole != (offloads[0] == OffloadOn && offloads[1] == OffloadOn) {
					t.Errorf("%d bytes came in %d packets", p.Len(), len(packets))
				}
				w.Close()
				r.Close()
			})
		}
	}
}

// collect reads until all data of p have come, in correct packets, and returns them.
func collect(t *testing.T, d *Device, p *ip.Outgoing) [][]byte {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() { d.Close() })
	defer timeout.Stop()
	want := bytes.Join(p.Payload, nil)
	var packets [][]byte
	var data []byte
	for len(data) < len(want) {
		err := d.Read(0, 64, func(b []byte, o ip.Offload) {
			var q ip.Packet
			if q.Parse(b, o) != ip.DropNone || q.Protocol != ip.ProtocolTCP {
				return
			}
			if !q.TransportChecksumOK() || o.SegmentSize == 0 && len(q.Payload) > tcpHeaderMin+1300 || o.SegmentSize != 0 && o.SegmentSize != 1300 {
				t.Errorf("a packet of %d bytes with offload %+v: wrong size or checksum", len(b), o)
			}
			packets = append(packets, slices.Clone(b))
			data = append(data, q.Payload[tcpHeaderMin:]...)
		})
		if err != nil {
			t.Fatalf("only %d of %d bytes came: %v", len(data), len(want), err)
		}
	}
	if !bytes.Equal(data, want) {
		t.Error("the data are not those sent")
	}
	return packets
}

func TestRealDeviceDoesNotAllocate(t *testing.T) {
	needRoot(t, "allocations per packet on a real device")
	w, r := twoDevices(t, OffloadOn, OffloadOn)
	p := forwarded(4, 1300, 60000)
	deliver := func([]byte, ip.Offload) {}
	var n float64
	for range 10 { // what the goroutines that watch the devices allocate counts too: one run without will do
		if n = testing.AllocsPerRun(100, func() { w.Write(0, p); r.Read(0, 1, deliver) }); n == 0 {
			return
		}
	}
	t.Errorf("a packet costs %v allocations", n)
}

// BenchmarkWrite measures super-packets that the kernel drops in routing: the cost of the way in.
func BenchmarkWrite(b *testing.B) {
	needRoot(b, "the speed of writing")
	for _, version := range []int{4, 6} {
		b.Run(fmt.Sprintf("IPv%d/64KiB", version), func(b *testing.B) {
			cfg := setUp(b)
			cfg.Offload = OffloadOn
			d := mustOpen(b, cfg)
			benchmarkWrite(b, d, forwarded(version, 1360, 45*1360))
		})
	}
	b.Run("IPv4/ACK", func(b *testing.B) { benchmarkWrite(b, mustOpen(b, setUp(b)), forwarded(4, 1360, 0)) })
	b.Run("IPv4/64KiB cut in software", func(b *testing.B) {
		cfg := setUp(b)
		cfg.Offload = OffloadOff
		benchmarkWrite(b, mustOpen(b, cfg), forwarded(4, 1360, 45*1360))
	})
}

func benchmarkWrite(b *testing.B, d *Device, p *ip.Outgoing) {
	p.Payload = [][]byte{bytes.Join(p.Payload, nil)}
	b.SetBytes(int64(p.Len()))
	b.ReportAllocs()
	for b.Loop() {
		d.Write(0, p)
	}
	b.StopTimer()
	if s := d.Stats(); s.WriteDrops != [NumWriteDrops]uint64{} {
		b.Errorf("packets were lost: %v", s.WriteDrops)
	}
	d.Close()
}

// BenchmarkForward measures a write, the way through the kernel, and a read.
func BenchmarkForward(b *testing.B) {
	needRoot(b, "the speed of reading")
	w, r := twoDevices(b, OffloadOn, OffloadOn)
	p := forwarded(4, 1360, 45*1360)
	p.Payload = [][]byte{bytes.Join(p.Payload, nil)}
	b.SetBytes(int64(p.Len()))
	b.ReportAllocs()
	for b.Loop() {
		w.Write(0, p)
		r.Read(0, 1, func([]byte, ip.Offload) {})
	}
}

// BenchmarkRead measures reading alone: super-packets that wait in the ring.
func BenchmarkRead(b *testing.B) {
	needRoot(b, "the speed of reading")
	w, r := twoDevices(b, OffloadOn, OffloadOn)
	p := forwarded(4, 1360, 45*1360)
	p.Payload = [][]byte{bytes.Join(p.Payload, nil)}
	b.SetBytes(int64(p.Len()))
	b.ReportAllocs()
	const batch = 256
	for left := 0; b.Loop(); left-- {
		if left == 0 {
			b.StopTimer()
			for range batch {
				w.Write(0, p)
			}
			left = batch
			b.StartTimer()
		}
		r.Poll(0, 1, func([]byte, ip.Offload) {})
	}
}
