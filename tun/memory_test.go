package tun

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/ip"
)

func TestMemoryCarriesPacketsBothWays(t *testing.T) {
	for _, version := range []int{4, 6} {
		a, b := NewMemory(1500, 1, 8)
		for _, ends := range [][2]*Memory{{a, b}, {b, a}} {
			p := outgoing(version, 1448, 30000)
			want := flatten(p)
			if err := ends[0].Write(0, p); err != nil {
				t.Fatal(err)
			}
			clear(p.Header) // the sender's buffers are its own again
			deliver, got := keep()
			if err := ends[1].Read(0, 8, deliver); err != nil {
				t.Fatal(err)
			}
			if len(*got) != 1 || !bytes.Equal((*got)[0].packet, want) || (*got)[0].offload != p.Offload {
				t.Fatalf("IPv%d: a super-packet did not arrive as it was sent", version)
			}
		}
		if s := a.Stats(); s.Read != s.Written || s.Read.Super != 1 {
			t.Errorf("counted %+v in and %+v out, want one super-packet each", s.Read, s.Written)
		}
	}
}

func TestMemoryReadWaitsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := NewMemory(1500, 1, 8)
		start := time.Now()
		go func() {
			time.Sleep(time.Hour)
			a.Write(0, outgoing(4, 1448, 100))
			time.Sleep(time.Hour)
			b.Close()
		}()
		deliver, got := keep()
		if err := b.Read(0, 8, deliver); err != nil || len(*got) != 1 || time.Since(start) != time.Hour {
			t.Errorf("after %v: %d packets (%v), want one after an hour", time.Since(start), len(*got), err)
		}
		if err := b.Read(0, 8, deliver); !errors.Is(err, os.ErrClosed) || time.Since(start) != 2*time.Hour {
			t.Errorf("after %v: %v, want os.ErrClosed after two hours", time.Since(start), err)
		}
		if err := a.Write(0, outgoing(4, 1448, 100)); err != nil {
			t.Errorf("the other end cannot write any more: %v", err)
		}
		if err := b.Write(0, outgoing(4, 1448, 100)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("a closed end writes: %v", err)
		}
	})
}

func TestMemoryDropsWhenFullAndCounts(t *testing.T) {
	a, b := NewMemory(1500, 1, 3)
	for range 5 {
		a.Write(0, outgoing(4, 1448, 100))
	}
	if s := a.Stats(); s.WriteDrops[WriteFull] != 2 || s.Written.Packets != 3 {
		t.Errorf("%d written and %d dropped, want 3 and 2", s.Written.Packets, s.WriteDrops[WriteFull])
	}
	deliver, got := keep()
	if n, err := b.Poll(0, 2, deliver); n != 2 || err != nil {
		t.Errorf("Poll of at most 2 delivered %d (%v)", n, err)
	}
	if n, err := b.Poll(0, 2, deliver); n != 1 || err != nil || len(*got) != 3 {
		t.Errorf("Poll delivered %d (%v), want the last one", n, err)
	}
	if n, err := b.Poll(0, 2, deliver); n != 0 || err != nil {
		t.Errorf("Poll of an empty queue delivered %d (%v)", n, err)
	}
}

func TestMemoryKeepsToItsMTU(t *testing.T) {
	a, b := NewMemory(1500, 1, 8)
	write := func(size, segment int) {
		p := &ip.Outgoing{Header: plain(4, ip.ProtocolTCP, size), Offload: ip.Offload{SegmentSize: uint16(segment)}}
		if err := a.Write(0, p); err != nil {
			t.Fatal(err)
		}
	}
	write(1500, 0)
	write(1501, 0)
	write(60000, 1460)
	write(maxPacket+1, 1460)
	a.SetMTU(1400)
	write(1500, 0)
	if s := a.Stats(); s.WriteDrops[WriteTooLong] != 3 || s.Written.Packets != 2 || a.MTU() != 1400 || b.MTU() != 1500 {
		t.Errorf("%d written, %d dropped, MTUs %d and %d; want 2, 3, 1400 and 1500", s.Written.Packets, s.WriteDrops[WriteTooLong], a.MTU(), b.MTU())
	}
}

func TestMemoryFlowsKeepTheirQueue(t *testing.T) {
	const queues, flows = 4, 4000
	for _, version := range []int{4, 6} {
		a, b := NewMemory(1500, queues, flows)
		for port := range flows {
			p := outgoing(version, 1448, 10)
			binary.BigEndian.PutUint16(p.Header[p.NetworkLen:], uint16(port))
			a.Write(0, p)
		}
		for i := range queues {
			n, _ := b.Poll(i, flows, func(p []byte, _ ip.Offload) {
				back := bytes.Clone(p)
				network := 20 * (version - 2) / 2
				src, dst := 12, 16
				if version == 6 {
					src, dst = 8, 24
				}
				copy(back[src:dst], p[dst:])
				copy(back[dst:2*dst-src], p[src:dst])
				copy(back[network:network+2], p[network+2:])
				copy(back[network+2:network+4], p[network:])
				if flowHash(back)%queues != uint32(i) {
					t.Errorf("IPv%d: the way back uses another queue", version)
				}
			})
			if n < flows/queues/2 {
				t.Errorf("IPv%d: only %d of %d flows in queue %d", version, n, flows, i)
			}
		}
	}
}

func TestMemoryDoesNotAllocate(t *testing.T) {
	a, b := NewMemory(1500, 2, 8)
	p := outgoing(6, 1448, 14480)
	queue := int(flowHash(p.Header) % 2)
	deliver := func([]byte, ip.Offload) {}
	if n := testing.AllocsPerRun(100, func() { a.Write(0, p); b.Read(queue, 8, deliver) }); n != 0 {
		t.Errorf("a packet costs %v allocations", n)
	}
}

func FuzzFlowHash(f *testing.F) {
	f.Add(flatten(outgoing(4, 1448, 10)))
	f.Add(flatten(outgoing(6, 1448, 10)))
	f.Add([]byte{0x4f})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if again := flowHash(bytes.Clone(packet)); flowHash(packet) != again {
			t.Fatal("the hash is not a function of the packet")
		}
	})
}
