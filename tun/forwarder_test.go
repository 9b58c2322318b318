package tun

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/ip"
)

func TestForwardBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, a := NewMemory(1500, 2, 64)
		b, right := NewMemory(1400, 1, 64)
		f := Forward(a, b)
		ended := make(chan error, 1)
		go func() { ended <- f.Run() }()
		for _, version := range []int{4, 6} {
			for _, ends := range [][2]*Memory{{left, right}, {right, left}} {
				p := outgoing(version, 1000, 20_000)
				want := flatten(p)
				if err := ends[0].Write(0, p); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				var got []byte
				for q := range ends[1].Queues() {
					if _, err := ends[1].Poll(q, 8, func(b []byte, o ip.Offload) {
						got = bytes.Clone(b)
						if o.SegmentSize != 1000 {
							t.Errorf("IPv%d: offload %+v, want a super-packet", version, o)
						}
					}); err != nil {
						t.Fatal(err)
					}
				}
				if !bytes.Equal(got, want) {
					t.Errorf("IPv%d: %d bytes arrived, %d were sent", version, len(got), len(want))
				}
			}
		}
		right.Close()
		f.Close()
		if err := <-ended; err == nil {
			t.Error("Run ended without a reason")
		}
		left.Close()
	})
}

func TestForwardTellsWhatIsTooBig(t *testing.T) {
	for _, version := range []int{4, 6} {
		synctest.Test(t, func(t *testing.T) {
			left, a := NewMemory(1500, 1, 64)
			b, right := NewMemory(1300, 1, 64)
			f := Forward(a, b)
			ended := make(chan error, 1)
			go func() { ended <- f.Run() }()
			if err := left.Write(0, outgoing(version, 1448, 20_000)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			var m ip.ICMP
			n, err := left.Poll(0, 8, func(raw []byte, o ip.Offload) {
				var p ip.Packet
				if d := p.Parse(raw, o); d != ip.DropNone {
					t.Fatalf("IPv%d: the answer does not parse: %v", version, d)
				}
				if d := m.Parse(&p); d != ip.DropNone {
					t.Fatalf("IPv%d: the answer is no ICMP message: %v", version, d)
				}
			})
			if n != 1 || err != nil || m.Kind != ip.PacketTooBig || m.MTU != 1300 || f.TooBig() != 1 {
				t.Errorf("IPv%d: %d answers (%v), %v with MTU %d, want packet too big, 1300", version, n, err, m.Kind, m.MTU)
			}
			if n, _ := right.Poll(0, 8, func([]byte, ip.Offload) {}); n != 0 {
				t.Errorf("IPv%d: %d packets that are too big arrived", version, n)
			}
			f.Close()
			<-ended
			left.Close()
			right.Close()
		})
	}
}

// A super-packet is as large as its segments, also behind extension headers.
func TestForwardSuperPacketsBehindExtensionHeaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left, a := NewMemory(1500, 1, 64)
		b, right := NewMemory(1400, 1, 64)
		f := Forward(a, b)
		ended := make(chan error, 1)
		go func() { ended <- f.Run() }()
		if err := left.Write(0, extended(1300, 5000, 0)); err != nil { // segments of 1368 bytes
			t.Fatal(err)
		}
		synctest.Wait()
		if n, _ := right.Poll(0, 8, func([]byte, ip.Offload) {}); n != 1 || f.TooBig() != 0 {
			t.Errorf("%d packets arrived, %d were too big", n, f.TooBig())
		}
		f.Close()
		<-ended
		left.Close()
		right.Close()
	})
}

// RFC 4443, section 2.4 (f), and RFC 1812, section 4.3.2.8: a flood of packets that are too big is none of answers.
func TestForwardAnswersAreLimited(t *testing.T) {
	for _, version := range []int{4, 6} {
		synctest.Test(t, func(t *testing.T) {
			left, a := NewMemory(1500, 1, 4096)
			b, right := NewMemory(1300, 1, 64)
			f := Forward(a, b)
			ended := make(chan error, 1)
			go func() { ended <- f.Run() }()
			flood := func(n int) (answers int) {
				for range n {
					if err := left.Write(0, outgoing(version, 0, 1400)); err != nil {
						t.Fatal(err)
					}
				}
				synctest.Wait()
				answers, _ = left.Poll(0, 4096, func([]byte, ip.Offload) {})
				return answers
			}
			n := flood(1000)
			if n == 0 || n > answerBurst || f.TooBig() != 1000 || f.Withheld() != uint64(1000-n) {
				t.Errorf("IPv%d: %d answers to 1000 packets at once, %d too big, %d withheld", version, n, f.TooBig(), f.Withheld())
			}
			time.Sleep(time.Second)
			if n := flood(10); n != 10 {
				t.Errorf("IPv%d: %d answers to 10 packets a second later", version, n)
			}
			f.Close()
			<-ended
			left.Close()
			right.Close()
		})
	}
}
