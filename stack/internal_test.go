package stack

import (
	"encoding/binary"
	"net/netip"
	"os"
	"testing"
	"time"
	"unsafe"

	"tcpd/ip"
	"tcpd/tcp"
)

// sink is a link that nothing comes from, and whose packets go nowhere.
type sink struct{ queues int }

func (l sink) Queues() int                                              { return l.queues }
func (sink) MTU() int                                                   { return 1500 }
func (sink) Read(int, int, func([]byte, ip.Offload)) error              { return os.ErrClosed }
func (sink) Poll(int, int, func([]byte, ip.Offload)) (n int, err error) { return 0, nil }
func (sink) Write(int, *ip.Outgoing) error                              { return nil }
func (sink) Close() error                                               { return nil }

// stopped is a clock that stands still.
type stopped struct{ now *time.Duration }

func (c stopped) Now() time.Duration                  { return *c.now }
func (stopped) AfterFunc(time.Duration, func()) Timer { return noTimer{} }

type noTimer struct{}

func (noTimer) Stop() bool               { return false }
func (noTimer) Reset(time.Duration) bool { return false }

// still is a stack whose loops do not run: a test drives its readers.
func still(t testing.TB, queues int) (*Stack, *time.Duration) {
	now := new(time.Duration)
	s, err := newStack(Config{
		Link: sink{queues}, Clock: stopped{now}, Secret: [16]byte{1}, Seed: 1,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.77.0.2/24"), netip.MustParsePrefix("fd77::2/64")},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s, now
}

// turn lets a reader process packets as it does those of one read.
func (r *reader) turn(packets ...[]byte) {
	r.begin()
	for _, b := range packets {
		r.arrive(b, ip.Offload{})
	}
	r.finish()
}

// FuzzArrive: whatever arrives, nothing panics and every packet has one end.
func FuzzArrive(f *testing.F) {
	f.Add([]byte{}, []byte{0x45})
	f.Add(segment("10.77.0.1", "10.77.0.2", 80, 0x02), segment("10.77.0.1", "10.77.0.2", 80, 0x10))
	f.Add(segment("fd77::1", "fd77::2", 80, 0x02), segment("fd77::1", "fd77::2", 81, 0x04))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		s, now := still(t, 2)
		if _, err := s.ListenTCP(netip.MustParseAddrPort("[::]:80"), ListenOptions{}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			s.loops[i%2].turn(a, b, a)
			*now += time.Second
			for _, sh := range s.shards {
				sh.fire()
				if err := sh.table.Check(); err != nil {
					t.Error(err)
				}
			}
		}
		st := s.Stats()
		if n := st.Unaccounted(); n != 0 || st.PacketsIn != 9 {
			t.Errorf("%d packets have no end: %+v", n, st)
		}
	})
}

// segment builds a TCP segment without options.
func segment(src, dst string, port uint16, flags byte) []byte {
	p := make([]byte, 20)
	binary.BigEndian.PutUint16(p, 4711)
	binary.BigEndian.PutUint16(p[2:], port)
	p[12], p[13] = 5<<4, flags
	binary.BigEndian.PutUint16(p[14:], 65535)
	h := ip.Header{
		Src: ip.AddrFrom(netip.MustParseAddr(src)), Dst: ip.AddrFrom(netip.MustParseAddr(dst)),
		Protocol: ip.ProtocolTCP, PayloadLen: len(p),
	}
	sum := ip.PseudoSum(h.Src, h.Dst, h.Protocol, len(p))
	binary.BigEndian.PutUint16(p[16:], ^ip.Sum(p, sum))
	b := make([]byte, h.Len()+len(p))
	copy(b[h.Put(b):], p)
	return b
}

// The way of a packet through the stack allocates nothing: in, to its owner, what follows from it out.
func TestPacketAllocations(t *testing.T) {
	s, now := still(t, 2)
	packets := map[string][]byte{
		"closed port IPv4": segment("10.77.0.1", "10.77.0.2", 80, 0x10),
		"closed port IPv6": segment("fd77::1", "fd77::2", 80, 0x10),
		"not ours":         segment("10.77.0.1", "10.77.0.9", 80, 0x10),
		"UDP":              udpPacket(),
	}
	for name, b := range packets {
		t.Run(name, func(t *testing.T) {
			n := testing.AllocsPerRun(1000, func() {
				*now += time.Second
				s.loops[0].turn(b, b, b)
			})
			if n != 0 {
				t.Errorf("%v allocations for three packets", n)
			}
		})
	}
}

func udpPacket() []byte {
	b := segment("10.77.0.1", "10.77.0.2", 80, 0)
	h := ip.Header{Src: ip.Addr4([4]byte{10, 77, 0, 1}), Dst: ip.Addr4([4]byte{10, 77, 0, 2}), Protocol: ip.ProtocolUDP, PayloadLen: 8}
	h.Put(b)
	copy(b[20:], []byte{1, 2, 3, 4, 0, 8, 0, 0}) // without a checksum
	return b[:28]
}

// Flows spread evenly, whatever varies in them.
func TestOwnersAreEven(t *testing.T) {
	s, _ := still(t, 4)
	vary := map[string]func(f *tcp.Flow, i int){
		"port":    func(f *tcp.Flow, i int) { f.RemotePort = uint16(i) },
		"address": func(f *tcp.Flow, i int) { f.Remote[14], f.Remote[15] = byte(i>>8), byte(i) },
		"both":    func(f *tcp.Flow, i int) { f.Remote[15], f.RemotePort = byte(i), uint16(i) },
	}
	for name, set := range vary {
		t.Run(name, func(t *testing.T) {
			var n [4]int
			for i := range 4000 {
				f := tcp.Flow{Local: ip.Addr4([4]byte{10, 77, 0, 2}), LocalPort: 80, Remote: ip.Addr4([4]byte{10, 0, 0, 1}), RemotePort: 99}
				set(&f, i)
				n[s.owner(&f).index]++
			}
			for i, k := range n {
				if k < 850 || k > 1150 {
					t.Errorf("shard %d owns %d of 4000 flows", i, k)
				}
			}
		})
	}
}

// The local port has no part in it: the table of the owner chooses it.
func TestOwnerIgnoresLocalPort(t *testing.T) {
	s, _ := still(t, 4)
	f := tcp.Flow{Remote: ip.Addr4([4]byte{10, 0, 0, 1}), RemotePort: 80}
	first := s.owner(&f)
	for f.LocalPort = range uint16(1000) {
		if s.owner(&f) != first {
			t.Fatalf("port %d has another owner", f.LocalPort)
		}
	}
}

func TestSourcesAreBounded(t *testing.T) {
	s := newSources(PerSource{NewPerSecond: 1})
	now := tcp.Time(1)
	busy := ip.Addr{15: 1, 0: 0xfd}
	s.open(now, busy)
	for i := range 2 * maxIdleSources {
		a := ip.Addr{0: 0x20}
		binary.BigEndian.PutUint32(a[2:], uint32(i))
		now++
		s.arrive(now, a)
	}
	if n := len(s.table); n > maxIdleSources+1 {
		t.Errorf("%d sources are remembered, want at most %d", n, maxIdleSources)
	}
	if e := s.table[sourceKey(busy)]; e == nil || e.connections != 1 {
		t.Error("a source with a connection was forgotten")
	}
}

func TestBudget(t *testing.T) {
	b := newBudget(1000)
	if !b.Charge(800) || b.Pressure() {
		t.Error("800 of 1000: refused, or pressure")
	}
	if !b.Charge(100) || !b.Pressure() {
		t.Error("900 of 1000: refused, or no pressure")
	}
	if b.Charge(101) || b.used.Load() != 900 {
		t.Errorf("1001 of 1000 granted; %d in use", b.used.Load())
	}
	b.Release(900)
	if b.used.Load() != 0 || b.peak.Load() != 900 || b.refused.Load() != 1 {
		t.Errorf("in use %d, peak %d, refused %d", b.used.Load(), b.peak.Load(), b.refused.Load())
	}
}

func TestDropNames(t *testing.T) {
	seen := make(map[string]bool)
	for d := range NumDrops {
		if n := d.String(); n == "" || n == "unknown" || seen[n] {
			t.Errorf("reason %d is called %q", d, n)
		}
		seen[d.String()] = true
	}
}

// What an idle connection costs here, beside its record in the table.
func TestConnSize(t *testing.T) {
	if n := unsafe.Sizeof(Conn{}); n > 192 {
		t.Errorf("a Conn has %d bytes, want at most 192", n)
	}
}

// A shard charges ahead while memory is plentiful, and returns what it does not use when it is not: others may need it.
func TestAllowance(t *testing.T) {
	b := newBudget(16 << 20)
	a := &allowance{budget: b}
	if !a.Charge(4096) || b.used.Load() != 4096+allowanceStep {
		t.Errorf("%d bytes charged, want a step more than 4096", b.used.Load())
	}
	for range 100 {
		before := b.used.Load()
		if !a.Charge(512) || b.used.Load() != before {
			t.Error("a small charge went to the budget though there is an allowance")
		}
	}
	b.Charge(8 << 20)
	if a.Release(1); b.used.Load()-(8<<20) != 4096+100*512-1 {
		t.Errorf("%d bytes are charged while memory is short", b.used.Load()-(8<<20))
	}
	if a.Release(4095 + 100*512); b.used.Load() != 8<<20 {
		t.Errorf("%d bytes lost", b.used.Load()-(8<<20))
	}
	if b.Charge(8 << 20); a.Charge(1) {
		t.Error("more was granted than there is")
	}
}

// Calls come in order, however many wait, and those that ask again go to the end; what is called makes room.
func TestCalls(t *testing.T) {
	var q fifo
	conns := make([]tcp.Conn, 1000)
	for i := range conns {
		q.push(&conns[i])
	}
	for i := range 100_000 {
		c := q.pop()
		if c != &conns[i%len(conns)] {
			t.Fatalf("call %d is not for the one that waits longest", i)
		}
		q.push(c)
	}
	if q.len() != len(conns) || cap(q.list) > 4*len(conns) {
		t.Errorf("%d wait in a list for %d, want %d", q.len(), cap(q.list), len(conns))
	}
}
