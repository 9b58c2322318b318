package tun

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/ip"
)

// arrived is a packet as a reader got it.
type arrived struct {
	at      time.Duration
	packet  []byte
	offload ip.Offload
}

// listen reads a link until it is closed. Call it in a bubble, and the result after the end.
func listen(l Carrier) func() []arrived {
	var got []arrived
	start, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		for {
			err := l.Read(0, 8, func(b []byte, o ip.Offload) {
				got = append(got, arrived{time.Since(start), slices.Clone(b), o})
			})
			if errors.Is(err, os.ErrClosed) {
				return
			}
		}
	}()
	return func() []arrived {
		l.Close()
		<-done
		return got
	}
}

// bubble runs f with an impaired link to a plain one.
func bubble(t *testing.T, i Impairment, observe Observer, f func(x *Impaired, far *Memory)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		near, far := NewMemory(1500, 1, 4096)
		x := Impair(near, observe)
		if err := x.Set(i); err != nil {
			t.Fatal(err)
		}
		f(x, far)
		x.Close()
		far.Close()
	})
}

// number sends packets of which the first data bytes tell the number.
func number(t *testing.T, l Carrier, version, n int) {
	t.Helper()
	for i := range n {
		p := outgoing(version, 0, 100)
		p.Payload[0][0], p.Payload[0][1] = byte(i>>8), byte(i)
		if err := l.Write(0, p); err != nil {
			t.Fatal(err)
		}
	}
}

func numbers(got []arrived) (list []int) {
	for _, a := range got {
		data := a.packet[len(a.packet)-100:]
		list = append(list, int(data[0])<<8|int(data[1]))
	}
	return list
}

func TestUnimpairedPassesSuperPacketsWhole(t *testing.T) {
	bubble(t, Impairment{}, nil, func(x *Impaired, far *Memory) {
		in, out := listen(x), listen(far)
		for _, l := range []Carrier{x, far} {
			if err := l.Write(0, outgoing(4, 1000, 20_000)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		for name, got := range map[string][]arrived{"in": in(), "out": out()} {
			if len(got) != 1 || got[0].offload != outgoing(4, 1000, 20_000).Offload {
				t.Errorf("%s: %d packets, want one super-packet with its offload", name, len(got))
			}
		}
	})
}

func TestImpairedCutsSuperPacketsAndCompletesThem(t *testing.T) {
	for _, version := range []int{4, 6} {
		bubble(t, Impairment{Delay: time.Millisecond}, nil, func(x *Impaired, far *Memory) {
			in, out := listen(x), listen(far)
			for _, l := range []Carrier{x, far} {
				if err := l.Write(0, outgoing(version, 1000, 20_000)); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(time.Second)
			for name, got := range map[string][]arrived{"in": in(), "out": out()} {
				var data []byte
				for _, a := range got {
					var p ip.Packet
					if d := p.Parse(a.packet, a.offload); d != ip.DropNone || a.offload != (ip.Offload{}) || !p.TransportChecksumOK() {
						t.Fatalf("IPv%d, %s: a packet with offload %+v does not parse (%v) or has a wrong checksum", version, name, a.offload, d)
					}
					data = append(data, p.Payload[tcpHeaderMin:]...)
				}
				if len(got) != 20 || !bytes.Equal(data, bytes.Join(outgoing(version, 1000, 20_000).Payload, nil)) {
					t.Errorf("IPv%d, %s: %d packets with other data, want 20 segments", version, name, len(got))
				}
			}
		})
	}
}

// What is left to us is found behind extension headers too, and padding is no part of it.
func TestImpairedCompletesWhatIsBehindExtensionHeaders(t *testing.T) {
	for _, c := range []struct{ segment, data, padding, packets int }{{0, 100, 0, 1}, {0, 100, 7, 1}, {1000, 3500, 0, 4}, {1000, 3500, 5, 4}} {
		bubble(t, Impairment{}, func(Direction, bool, []byte) {}, func(x *Impaired, far *Memory) {
			in := listen(x)
			if err := far.Write(0, extended(c.segment, c.data, c.padding)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			got, data := in(), 0
			for _, a := range got {
				var p ip.Packet
				if d := p.Parse(a.packet, a.offload); d != ip.DropNone || !p.TransportChecksumOK() {
					t.Errorf("%+v: a packet with offload %+v does not parse (%v) or has a wrong checksum", c, a.offload, d)
				}
				data += len(p.Payload) - tcpHeaderMin
			}
			if len(got) != c.packets || data != c.data {
				t.Errorf("%+v: %d bytes of data in %d packets", c, data, len(got))
			}
		})
	}
}

func TestImpairedDelaysExactly(t *testing.T) {
	bubble(t, Impairment{Delay: 20 * time.Millisecond}, nil, func(x *Impaired, far *Memory) {
		in, out := listen(x), listen(far)
		number(t, x, 4, 3)
		number(t, far, 6, 3)
		time.Sleep(time.Second)
		for name, got := range map[string][]arrived{"in": in(), "out": out()} {
			if !slices.Equal(numbers(got), []int{0, 1, 2}) {
				t.Fatalf("%s: order %v, want as sent", name, numbers(got))
			}
			for _, a := range got {
				if a.at != 20*time.Millisecond {
					t.Errorf("%s: arrived after %v, want 20ms", name, a.at)
				}
			}
		}
	})
}

func TestImpairedJitterKeepsTheOrder(t *testing.T) {
	bubble(t, Impairment{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Seed: 1}, nil, func(x *Impaired, far *Memory) {
		out := listen(far)
		number(t, x, 4, 200)
		time.Sleep(time.Second)
		got := out()
		if len(got) != 200 || !slices.IsSorted(numbers(got)) {
			t.Errorf("%d packets in order: %v; want all 200, in order", len(got), slices.IsSorted(numbers(got)))
		}
		for _, a := range got {
			if a.at < 10*time.Millisecond || a.at > 30*time.Millisecond {
				t.Errorf("arrived after %v, want 10ms to 30ms", a.at)
			}
		}
	})
}

func TestImpairedLosesWithinItsScope(t *testing.T) {
	all := Impairment{Loss: 1}
	mine, other := all, all
	mine.Prefix, mine.Port = netip.MustParsePrefix("10.77.0.1/32"), 8888
	other.Port = 1
	elsewhere := all
	elsewhere.Prefix = netip.MustParsePrefix("192.0.2.0/24")
	for _, c := range []struct {
		what string
		i    Impairment
		want int
	}{
		{"everything", all, 0}, {"the packet's address and port", mine, 0}, {"another port", other, 5}, {"another prefix", elsewhere, 5},
	} {
		bubble(t, c.i, nil, func(x *Impaired, far *Memory) {
			out := listen(far)
			number(t, x, 4, 5)
			time.Sleep(time.Second)
			if got := out(); len(got) != c.want {
				t.Errorf("with loss for %s %d of 5 packets arrived, want %d", c.what, len(got), c.want)
			}
			f := x.Fates(Out)
			if int(f[FateLost]) != 5-c.want || int(f[FatePassed]) != c.want {
				t.Errorf("with loss for %s counted %d lost and %d passed", c.what, f[FateLost], f[FatePassed])
			}
		})
	}
}

func TestImpairedChancesComeAsOften(t *testing.T) {
	const n = 2000
	i := Impairment{Loss: 0.1, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Delay: 5 * time.Millisecond, Seed: 7}
	var first [NumFates]uint64
	for run := range 2 {
		bubble(t, i, nil, func(x *Impaired, far *Memory) {
			out := listen(far)
			number(t, x, 6, n)
			time.Sleep(time.Second)
			got, f := out(), x.Fates(Out)
			if f[FateLost] < n/20 || f[FateLost] > n/5 || f[FateReordered] == 0 || f[FateCorrupted] == 0 || f[FateDuplicated] == 0 {
				t.Errorf("seed 7: fates %v of %d packets", f, n)
			}
			if slices.IsSorted(numbers(got)) {
				t.Error("seed 7: no packet was overtaken")
			}
			bad := 0
			for _, a := range got {
				var p ip.Packet
				if d := p.Parse(a.packet, a.offload); d != ip.DropNone || !p.TransportChecksumOK() {
					bad++
				}
			}
			if bad == 0 || bad > int(2*f[FateCorrupted]) {
				t.Errorf("seed 7: %d packets are broken, %d were corrupted", bad, f[FateCorrupted])
			}
			if run == 0 {
				first = f
			} else if f != first {
				t.Errorf("seed 7 gave %v, then %v", first, f)
			}
		})
	}
}

func TestImpairedRateAndQueue(t *testing.T) {
	// 1000 packets of 140 bytes take 1.12 s at 1 Mbit/s; 100 of them may wait.
	i := Impairment{Rate: 1e6, Queue: 14_000}
	bubble(t, i, nil, func(x *Impaired, far *Memory) {
		out := listen(far)
		number(t, x, 4, 1000)
		time.Sleep(5 * time.Second)
		got, f := out(), x.Fates(Out)
		if len(got) != 100 || f[FateQueueFull] != 900 {
			t.Errorf("%d packets arrived and %d found no room, want 100 and 900", len(got), f[FateQueueFull])
		}
		if last := got[len(got)-1].at; last != 112*time.Millisecond {
			t.Errorf("the last of 100 packets took %v, want 112ms", last)
		}
	})
}

func TestImpairedEndsAndBeginsAtRunTime(t *testing.T) {
	bubble(t, Impairment{Delay: time.Hour}, nil, func(x *Impaired, far *Memory) {
		in, out := listen(x), listen(far)
		number(t, x, 4, 2)
		number(t, far, 4, 2)
		time.Sleep(time.Minute)
		if err := x.Set(Impairment{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for range 2 { // the first is taken by the goroutine that ends with it
			for _, l := range []Carrier{x, far} {
				if err := l.Write(0, outgoing(4, 1000, 20_000)); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		for name, got := range map[string][]arrived{"in": in(), "out": out()} {
			if len(got) < 4 || got[0].at != time.Minute || got[1].at != time.Minute {
				t.Fatalf("%s: %d packets, the first after %v, want those that waited after a minute", name, len(got), got[0].at)
			}
			if last := got[len(got)-1]; last.offload.SegmentSize != 1000 {
				t.Errorf("%s: the last packet has offload %+v, want a whole super-packet", name, last.offload)
			}
		}
	})
}

// A reload sets the impairment again, whether it has changed or not.
func TestImpairedSetAgainKeepsRateAndOrder(t *testing.T) {
	// 140 bytes take 1.12 ms at 1 Mbit/s, and 0.56 ms at twice that.
	slow, fast := Impairment{Rate: 1e6, Delay: 20 * time.Millisecond}, Impairment{Rate: 2e6, Delay: 5 * time.Millisecond}
	for what, c := range map[string]struct {
		then Impairment
		last time.Duration
	}{
		"the same":     {slow, 20*time.Millisecond + 40*1120*time.Microsecond},
		"a better one": {fast, 5*time.Millisecond + 20*1120*time.Microsecond + 20*560*time.Microsecond},
	} {
		bubble(t, slow, nil, func(x *Impaired, far *Memory) {
			out := listen(far)
			number(t, x, 4, 20)
			if err := x.Set(c.then); err != nil {
				t.Fatal(err)
			}
			number(t, x, 4, 20)
			time.Sleep(time.Second)
			got := out()
			list := numbers(got)
			if len(got) != 40 || !slices.IsSorted(list[:20]) || !slices.IsSorted(list[20:]) {
				t.Fatalf("%s: the order is %v, want 0 to 19 twice", what, list)
			}
			if last := got[39].at; last != max(c.last, got[19].at) {
				t.Errorf("%s: the last packet took %v, want %v or as long as the 20th, %v", what, last, c.last, got[19].at)
			}
		})
	}
}

// What waits is bounded, and what it took is given back.
func TestImpairedBoundsMemory(t *testing.T) {
	bubble(t, Impairment{Delay: time.Hour}, nil, func(x *Impaired, far *Memory) {
		const most = mostKept / laneBuffer
		number(t, x, 4, most+10)
		if f := x.Fates(Out); f[FateQueueFull] != 10 || f[FatePassed] != most {
			t.Errorf("%d packets wait and %d found no room, want %d and 10", f[FatePassed], f[FateQueueFull], most)
		}
		l := x.out[0]
		time.Sleep(2 * time.Hour)
		l.mu.Lock()
		if len(l.spare) != mostSpare || l.kept != 0 {
			t.Errorf("after the last packet has left, %d buffers are kept, and %d bytes are said to wait", len(l.spare), l.kept)
		}
		l.mu.Unlock()
		if err := x.Set(Impairment{}); err != nil {
			t.Fatal(err)
		}
		if l.spare != nil || l.waiting != nil {
			t.Errorf("without an impairment %d buffers are kept", len(l.spare))
		}
	})
}

func TestObserverSeesEveryPacketOnce(t *testing.T) {
	type seen struct {
		d       Direction
		dropped bool
	}
	got := map[seen]int{}
	bubble(t, Impairment{}, func(d Direction, dropped bool, _ []byte) { got[seen{d, dropped}]++ }, func(x *Impaired, far *Memory) {
		in, out := listen(x), listen(far)
		for _, l := range []Carrier{x, far} {
			if err := l.Write(0, outgoing(4, 1000, 20_000)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if err := x.Set(Impairment{Loss: 1}); err != nil {
			t.Fatal(err)
		}
		number(t, x, 4, 3)
		number(t, far, 4, 4)
		synctest.Wait()
		in()
		out()
	})
	want := map[seen]int{{In, false}: 20, {Out, false}: 20, {Out, true}: 3, {In, true}: 4}
	for k, n := range want {
		if got[k] != n {
			t.Errorf("observed %d packets of %+v, want %d", got[k], k, n)
		}
	}
}

func TestImpairmentIsChecked(t *testing.T) {
	for what, i := range map[string]Impairment{
		"more than all lost":     {Loss: 1.1},
		"a negative probability": {Reorder: -0.1},
		"jitter without delay":   {Jitter: time.Millisecond},
		"a queue without rate":   {Queue: 1000},
		"a rate of nothing":      {Rate: 1},
		"an hour of delay":       {Delay: time.Hour * 2},
	} {
		if err := i.Check(); err == nil {
			t.Errorf("%s was accepted", what)
		}
	}
}

func TestUnimpairedWriteDoesNotAllocate(t *testing.T) {
	near, far := NewMemory(1500, 1, 8)
	x, p := Impair(near, nil), outgoing(4, 1000, 20_000)
	deliver := func([]byte, ip.Offload) {}
	n := testing.AllocsPerRun(100, func() {
		if err := x.Write(0, p); err != nil {
			t.Fatal(err)
		}
		if _, err := far.Poll(0, 8, deliver); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for each packet, want none", n)
	}
}

func BenchmarkImpair(b *testing.B) {
	for name, wrap := range map[string]func(*Memory) Carrier{
		"without": func(m *Memory) Carrier { return m },
		"unused":  func(m *Memory) Carrier { return Impair(m, nil) },
	} {
		b.Run(name, func(b *testing.B) {
			near, far := NewMemory(1500, 1, 8)
			l, p := wrap(near), outgoing(4, 1000, 100)
			deliver := func([]byte, ip.Offload) {}
			for b.Loop() {
				if err := l.Write(0, p); err != nil {
					b.Fatal(err)
				}
				if _, err := far.Poll(0, 8, deliver); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
