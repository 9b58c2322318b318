package tcp

import (
	"slices"
	"testing"

	"tcpd/ip"
)

// crowd is one table with streams to receivers of its own, each behind a link of another MTU, and one link that all of them share:
// the next packet leaves when the one before has. What is acknowledged comes back half a millisecond later.
type crowd struct {
	testing.TB
	now       Time
	sender    *Table
	receivers []*crowdReceiver
	back      []flying // to the sender
}

type crowdReceiver struct {
	table *Table
	addr  ip.Addr
	conn  *Conn // the sender's
	far   *Conn
	bytes int // of whole packets
	turns int
}

const crowdRate = 125_000_000 // bytes per second

func newCrowd(t testing.TB) *crowd {
	return &crowd{TB: t, now: Time(Second), sender: NewTable(Config{MTU: 65535, Secret: [16]byte{1}})}
}

// join opens a stream with segments of mss, options aside, to a receiver with so much buffer.
func (c *crowd) join(mss, buffer int) *crowdReceiver {
	c.Helper()
	f := flow4
	f.Remote = ip.Addr4([4]byte{10, 0, 1, byte(len(c.receivers))})
	f.LocalPort = uint16(1000 + len(c.receivers))
	r := &crowdReceiver{addr: f.Remote, table: NewTable(Config{MTU: mss + ip.HeaderLen4 + headerLen, Secret: [16]byte{2}})}
	c.receivers = append(c.receivers, r)
	l, err := r.table.Listen(ip.Addr{}, f.RemotePort, ListenOptions{Options: Options{ReceiveBuffer: buffer}})
	if err != nil {
		c.Fatal(err)
	}
	if r.conn, err = c.sender.Connect(c.now, f, Options{NoDelay: true}); err != nil {
		c.Fatal(err)
	}
	for r.far = r.table.Accept(l); r.far == nil; r.far = r.table.Accept(l) {
		c.step()
	}
	r.bytes, r.turns = 0, 0
	return r
}

// step sends one packet, or lets time pass until something happens, and returns whose it was.
func (c *crowd) step() *crowdReceiver {
	c.Helper()
	c.work()
	var out ip.Outgoing
	if !c.sender.Poll(c.now, &out) {
		next := c.sender.Deadline()
		if len(c.back) > 0 {
			next = min(next, c.back[0].at)
		}
		if next == Never {
			c.Fatal("nothing will ever happen")
		}
		c.now = max(c.now, next)
		return nil
	}
	c.now = c.now.Add(Duration(out.Len()) * Second / crowdRate)
	if out.Len() <= maxSuper {
		return c.deliver(&out)
	}
	var r *crowdReceiver
	if err := new(ip.Segmenter).Cut(&out, maxSuper, func(part *ip.Outgoing) error { r = c.deliver(part); return nil }); err != nil {
		c.Fatal(err)
	}
	return r
}

// deliver lets a packet arrive.
func (c *crowd) deliver(out *ip.Outgoing) *crowdReceiver {
	c.Helper()
	b, o := flatten(out)
	p := c.parse(b, o)
	i := slices.IndexFunc(c.receivers, func(r *crowdReceiver) bool { return r.addr == p.Dst })
	r := c.receivers[i]
	r.bytes += len(b)
	r.turns++
	r.table.Arrive(c.now, p)
	return r
}

// work is what happens meanwhile: acknowledgements arrive, timers run, applications write and read what they can.
func (c *crowd) work() {
	c.sender.Advance(c.now)
	for len(c.back) > 0 && c.back[0].at <= c.now {
		f := c.back[0]
		c.back = c.back[1:]
		c.sender.Arrive(c.now, c.parse(f.b, f.o))
	}
	buf := make([]byte, 1<<17)
	for _, r := range c.receivers {
		if r.far == nil || !synchronized.has(r.conn.state) {
			continue
		}
		for n := len(buf); n == len(buf); {
			n, _ = c.sender.Write(c.now, r.conn, buf)
		}
		for n := 1; n > 0; {
			n, _ = r.table.Read(c.now, r.far, buf)
		}
	}
	c.sender.Events()
	for _, r := range c.receivers {
		c.answers(r)
	}
}

// answers sends what a receiver has to say.
func (c *crowd) answers(r *crowdReceiver) {
	var out ip.Outgoing
	r.table.Advance(c.now)
	for r.table.Poll(c.now, &out) {
		b, o := flatten(&out)
		c.back = append(c.back, flying{c.now.Add(Millisecond / 2), b, o})
	}
	r.table.Events()
}

func (c *crowd) parse(b []byte, o ip.Offload) *ip.Packet {
	c.Helper()
	p := new(ip.Packet)
	if d := p.Parse(b, o); d != ip.DropNone {
		c.Fatalf("parse: %v", d)
	}
	return p
}

// grown makes the congestion windows of all as wide as anybody could want: the link is what limits.
func (c *crowd) grown() {
	for _, r := range c.receivers {
		r.conn.cc.set(8 << 20)
	}
}

// Streams that want all of a link share its bytes within 2:1, whatever the size of their segments: a turn is a super-packet of 64
// KiB, less what is no full segment, and that is less than half.
func TestTurns_bytesAreShared(t *testing.T) {
	c := newCrowd(t)
	for _, mss := range []int{48, 88, 536, 1220, 1460, 8960, 21_000, 32_700, 32_800, 40_000, 65_495} {
		c.join(mss, 4<<20)
	}
	c.grown()
	for range 200 {
		c.step()
	}
	for _, r := range c.receivers {
		r.bytes, r.turns = 0, 0
	}
	for range 2000 {
		c.step()
	}
	least, most := c.receivers[0].bytes, 0
	for _, r := range c.receivers {
		t.Logf("segments of %5d: %9d bytes in %d turns", r.conn.snd.mss, r.bytes, r.turns)
		least, most = min(least, r.bytes), max(most, r.bytes)
	}
	if most > 2*least+maxSuper { // the last round may have ended anywhere
		t.Errorf("one got %d bytes, one %d", most, least)
	}
}

// It is the same where the link takes longer super-packets to some peers.
func TestTurns_longSuperPackets(t *testing.T) {
	c := newCrowd(t)
	c.sender = NewTable(Config{MTU: 65535, Secret: [16]byte{1}, Longest: func(peer ip.Addr) int {
		if peer[15]%2 == 0 {
			return 262_144
		}
		return 0
	}})
	for _, mss := range []int{1460, 1460, 536, 536, 8960, 8960, 32_700, 32_700} {
		c.join(mss, 4<<20)
	}
	c.grown()
	for range 200 {
		c.step()
	}
	for _, r := range c.receivers {
		r.bytes = 0
	}
	for range 2000 {
		c.step()
	}
	least, most := c.receivers[0].bytes, 0
	for i, r := range c.receivers {
		t.Logf("%d: segments of %5d: %9d bytes", i, r.conn.snd.mss, r.bytes)
		least, most = min(least, r.bytes), max(most, r.bytes)
	}
	if most > 2*least+262_144 {
		t.Errorf("one got %d bytes, one %d", most, least)
	}
}

// A stream that may not send much at once, as its peer's window is small, has its turn as often as the others: whoever wants to
// send waits for no more than a packet of each.
func TestTurns_smallWindowsWaitForOneRound(t *testing.T) {
	c := newCrowd(t)
	const bulk = 8
	for range bulk {
		c.join(1460, 4<<20)
	}
	small := c.join(536, 4096)
	c.grown()
	for range 200 {
		c.step()
	}
	waited := 0
	small.bytes, small.turns = 0, 0
	for range 2000 {
		wants := small.conn.queued
		whose := c.step()
		if whose == nil {
			t.Fatal("the link is idle")
		}
		if waited++; !wants || !small.conn.queued || whose == small {
			waited = 0
		}
		if waited > bulk {
			t.Fatalf("%d packets of others left while it waited", waited)
		}
	}
	if small.turns < 2000/(bulk+1)/3 {
		t.Errorf("%d turns of 2000", small.turns)
	}
	if want := small.turns * 3 * 536; small.bytes < want {
		t.Errorf("%d bytes in %d turns, want %d", small.bytes, small.turns, want)
	}
}
