package tcp

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"tcpd/ip"
)

// talk is a conversation between a table and a scripted peer, in virtual time. Numbers are relative to the initial sequence
// number of their sender, whose SYN is 0 and whose first byte is 1. A test that fails prints the whole conversation.
type talk struct {
	*testing.T
	table    *Table
	memory   *budget
	now      Time
	flow     Flow // as the table sees it
	peerISS  Seq
	iss      Seq // the table's
	knowISS  bool
	listener ListenerID
	conn     *Conn
	window   uint16 // what the peer announces unless told otherwise
	ts       bool   // the peer sends timestamps, its clock in milliseconds
	tsRecent uint32
	inbox    []seg // what the table sent and the test has not looked at
	events   []Event
	lines    []string
	drops    uint64    // segments that arrived, in whatever way they ended
	quiet    bool      // no lines: for long runs
	kinds    [256]bool // of options that left
}

// seg is a segment as a test writes it. In expectations zero fields of the options are not compared.
type seg struct {
	flags    Flags
	seq, ack int
	len      int    // payload bytes, of the pattern of the stream
	data     string // payload, if not the pattern
	win      int    // 0: the usual, or not compared; closed: zero
	opts     []byte // raw
	sacks    []span // relative
	ts       *[2]uint32
	noTS     bool
	mss      int
	unit     int // of a super-packet
	tos      uint8

	parsed *options // of received segments
	body   []byte
	rawWin int
}

const closed = -1

// budget is a Memory that can refuse, and knows what it gave.
type budget struct {
	used, charges int
	refuseAt      int // the k-th charge; 0: none
	refuseCount   int // and so many in all
	refuseFrom    int // this charge and all that follow
	refusals      int
	pressure      bool
}

func (b *budget) Charge(n int) bool {
	b.charges++
	if b.refuseAt != 0 && b.charges >= b.refuseAt && b.charges < b.refuseAt+b.refuseCount || b.refuseFrom != 0 && b.charges >= b.refuseFrom {
		b.refusals++
		return false
	}
	b.used += n
	return true
}
func (b *budget) Release(n int)  { b.used -= n }
func (b *budget) Pressure() bool { return b.pressure }

var peerFlows = []Flow{
	{Local: ip.Addr4([4]byte{10, 0, 0, 2}), Remote: ip.Addr4([4]byte{10, 0, 0, 1}), LocalPort: 80, RemotePort: 40000},
	{Local: ip.Addr{0xfd, 15: 2}, Remote: ip.Addr{0xfd, 15: 1}, LocalPort: 80, RemotePort: 40000},
}

// converse runs a test for both families.
func converse(t *testing.T, cfg Config, test func(*talk)) {
	t.Helper()
	for i, f := range peerFlows {
		t.Run([]string{"IPv4", "IPv6"}[i], func(t *testing.T) {
			c := newTalk(t, cfg, f)
			defer c.report()
			test(c)
			c.settle()
		})
	}
}

func newTalk(t *testing.T, cfg Config, f Flow) *talk {
	m := &budget{}
	if given, ok := cfg.Memory.(*budget); ok {
		*m = *given
	}
	cfg.Memory = m
	if cfg.Secret == [16]byte{} {
		cfg.Secret = [16]byte{1, 2, 3}
	}
	return &talk{
		T: t, table: NewTable(cfg), memory: m, now: Time(1000 * Second), flow: f, peerISS: 0xffff_fff0, window: 60000,
	}
}

func (c *talk) report() {
	if c.Failed() {
		c.Log("the conversation, its last 40 lines:\n" + strings.Join(c.lines[max(len(c.lines)-40, 0):], "\n"))
	}
}

func (c *talk) line(format string, args ...any) {
	if !c.quiet {
		c.lines = append(c.lines, fmt.Sprintf("%10.4f  ", float64(c.now-Time(1000*Second))/1e9)+fmt.Sprintf(format, args...))
	}
}

// pattern is the content of byte i of each stream.
func pattern(first, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		k := first + i
		b[i] = byte(k ^ k>>8*31 ^ k>>16)
	}
	return b
}

// arriveUnchecked is arrive without a check of the invariants, for floods.
func (c *talk) arriveUnchecked(s seg) Drop {
	c.Helper()
	body := s.payload()
	h := header{
		flow: &Flow{Local: c.flow.Remote, Remote: c.flow.Local, LocalPort: c.flow.RemotePort, RemotePort: c.flow.LocalPort},
		seq:  c.peerISS.Add(s.seq), flags: s.flags, window: c.windowOf(s), options: c.optionsOf(s),
		tos: s.tos,
	}
	if s.flags.has(ACK) {
		h.ack = c.iss.Add(s.ack)
	}
	var b [ip.HeaderLen6 + maxHeaderLen]byte
	n, _ := h.put(b[:], len(body))
	var p ip.Packet
	if d := p.Parse(append(b[:n:n], body...), ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: uint16(s.unit)}); d != 0 {
		c.Fatalf("the test built a packet that does not parse: %v", d)
	}
	d := c.table.Arrive(c.now, &p)
	c.line("> %v%v", s.describe(len(body)), map[bool]string{true: "", false: "  (" + d.String() + ")"}[d == DropNone])
	c.drops++
	return d
}

// arrive lets a segment arrive and polls nothing.
func (c *talk) arrive(s seg) Drop {
	c.Helper()
	d := c.arriveUnchecked(s)
	c.check()
	return d
}

// send lets a segment arrive and takes what the table answers.
func (c *talk) send(s seg) Drop {
	c.Helper()
	d := c.arrive(s)
	c.settle()
	return d
}

// fillWindow sends from nxt on what the window takes, in super-packets of segments of 1000 bytes, and returns the next number.
func (c *talk) fillWindow(nxt int) int {
	c.Helper()
	for edge := c.conn.rcv.adv.Sub(c.peerISS); nxt < edge; {
		n := min(edge-nxt, 20_000)
		c.arrive(seg{flags: ACK, seq: nxt, ack: 1, len: n, unit: 1000})
		nxt += n
	}
	return nxt
}

func (c *talk) windowOf(s seg) uint16 {
	switch {
	case s.win == closed:
		return 0
	case s.win != 0:
		return uint16(s.win)
	}
	return c.window
}

func (s *seg) payload() []byte {
	if s.data != "" {
		return []byte(s.data)
	}
	return pattern(s.seq-1, s.len)
}

func (c *talk) optionsOf(s seg) []byte {
	if s.opts != nil {
		return s.opts
	}
	var w optionWriter
	if s.mss != 0 {
		w.mss(uint16(s.mss))
	}
	if s.ts != nil {
		w.timestamps(s.ts[0], s.ts[1])
	} else if c.ts && !s.noTS {
		w.timestamps(c.peerClock(), c.tsRecent)
	}
	if len(s.sacks) > 0 {
		var abs []span
		for _, x := range s.sacks {
			abs = append(abs, span{c.iss + x.start, c.iss + x.end})
		}
		w.sack(abs)
	}
	return append([]byte{}, w.bytes()...)
}

func (c *talk) peerClock() uint32 { return uint32(c.now / Time(Millisecond)) }

func (s *seg) describe(n int) string {
	d := fmt.Sprintf("%v %d", s.flags, s.seq)
	if n > 0 {
		d += fmt.Sprintf("+%d", n)
	}
	if s.flags.has(ACK) {
		d += fmt.Sprintf(" ack %d", s.ack)
	}
	if s.win != 0 || s.rawWin != 0 {
		d += fmt.Sprintf(" win %d", max(s.win, s.rawWin))
	}
	for _, x := range s.sacks {
		d += fmt.Sprintf(" sack %d-%d", x.start, x.end)
	}
	return d
}

// settle polls until there is nothing to send, and takes the events.
func (c *talk) settle() {
	c.Helper()
	var out ip.Outgoing
	for n := 0; c.table.Poll(c.now, &out); n++ {
		if n > 10000 {
			c.Fatal("the table never stops sending")
		}
		c.receive(&out)
	}
	for _, e := range c.table.Events() {
		c.events = append(c.events, e)
		c.line("  event %d", e.Kind)
	}
	c.check()
}

// receive takes a packet of the table apart, and checks what every packet has to obey.
func (c *talk) receive(o *ip.Outgoing) {
	c.Helper()
	b, off := flatten(o)
	var p ip.Packet
	if d := p.Parse(b, off); d != 0 {
		c.Fatalf("the table built a packet that does not parse: %v", d)
	}
	var s segment
	if d := s.parse(&p); d != DropNone {
		c.Fatalf("the table built a segment that does not parse: %v", d)
	}
	kinds, err := wellFormed(s.flags, p.Payload[headerLen:int(p.Payload[12]>>4)*4])
	if err != nil {
		c.Errorf("%v: %v", s.flags, err)
	}
	for _, k := range kinds {
		c.kinds[k] = true
	}
	if p.Src != c.flow.Local || p.Dst != c.flow.Remote {
		c.Fatalf("a packet from %v to %v", p.Src, p.Dst)
	}
	if mtu := c.table.cfg.MTU; len(b) > mtu && off.SegmentSize == 0 || int(off.SegmentSize)+len(b)-len(s.payload) > mtu {
		c.Errorf("a packet of %d bytes, segments of %d, on a link with an MTU of %d", len(b), off.SegmentSize, mtu)
	}
	if s.flags.has(SYN) && !c.knowISS {
		c.iss, c.knowISS = s.seq, true
	}
	r := seg{
		flags: s.flags, seq: s.seq.Sub(c.iss), len: len(s.payload), rawWin: int(s.window), parsed: &s.opts,
		body: append([]byte(nil), s.payload...), unit: int(off.SegmentSize), mss: int(s.opts.mss),
	}
	if s.flags.has(ACK) {
		r.ack = s.ack.Sub(c.peerISS)
	}
	for _, x := range s.opts.sacks[:s.opts.nsacks] {
		r.sacks = append(r.sacks, span{x.start - c.peerISS, x.end - c.peerISS})
	}
	if s.opts.hasTimestamps {
		c.tsRecent = s.opts.tsVal
	}
	opts := s.opts
	r.parsed = &opts
	c.inbox = append(c.inbox, r)
	c.line("< %v", r.describe(r.len))
}

func (c *talk) check() {
	c.Helper()
	if err := c.table.Check(); err != nil {
		c.Fatalf("invariant: %v", err)
	}
	if c.memory.used != c.table.Charged() {
		c.Fatalf("%d bytes taken from the budget, the table knows of %d", c.memory.used, c.table.Charged())
	}
	var sum uint64
	counters := c.table.Counters()
	for _, n := range counters.Drops {
		sum += n
	}
	if c.drops != 0 && sum < c.drops {
		c.Fatalf("%d segments arrived, %d are accounted for", c.drops, sum)
	}
}

// want takes the next segment the table sent; why says in a sentence what it is for.
func (c *talk) want(why string, w seg) seg {
	c.Helper()
	if len(c.inbox) == 0 {
		c.Fatalf("%s: want %v, got nothing", why, w.describe(w.len+len(w.data)))
	}
	g := c.inbox[0]
	c.inbox = c.inbox[1:]
	n := w.len + len(w.data)
	if g.flags != w.flags || g.seq != w.seq || g.ack != w.ack || g.len != n {
		c.Fatalf("%s: want %v, got %v", why, w.describe(n), g.describe(g.len))
	}
	if n > 0 && string(g.body) != string(w.payload()) {
		c.Fatalf("%s: %v carries other bytes than were written", why, g.describe(g.len))
	}
	if win := max(w.win, 0); w.win != 0 && g.rawWin != win {
		c.Fatalf("%s: want window %d, got %d", why, win, g.rawWin)
	}
	if w.sacks != nil && fmt.Sprint(g.sacks) != fmt.Sprint(w.sacks) {
		c.Fatalf("%s: want SACK %v, got %v", why, w.sacks, g.sacks)
	}
	return g
}

func (c *talk) wantIdle(why string) {
	c.Helper()
	if len(c.inbox) > 0 {
		c.Fatalf("%s: want silence, got %v", why, c.inbox[0].describe(c.inbox[0].len))
	}
}

// discard forgets what the table sent.
func (c *talk) discard() { c.inbox = c.inbox[:0] }

// advance lets time pass, running what is due at its time.
func (c *talk) advance(d Duration) {
	c.Helper()
	end := c.now.Add(d)
	for n := 0; ; n++ {
		next := c.table.Deadline()
		if next > end {
			break
		}
		if n > 1_000_000 {
			c.Fatal("time does not pass: the table's deadline stays where it is")
		}
		c.tick(max(next, c.now))
	}
	c.tick(end)
}

// advanceToTimer lets time pass until the table sends something, and returns how long that took.
func (c *talk) advanceToTimer() Duration {
	c.Helper()
	start := c.now
	for len(c.inbox) == 0 {
		next := c.table.Deadline()
		if next == Never {
			c.Fatal("no timer is set")
		}
		c.tick(max(next, c.now))
	}
	return c.now.Sub(start)
}

func (c *talk) tick(now Time) {
	c.Helper()
	c.now = now
	c.table.Advance(now)
	c.check()
	c.settle()
}

func (c *talk) wantEvent(why string, k EventKind) Event {
	c.Helper()
	for i, e := range c.events {
		if e.Kind == k {
			c.events = append(c.events[:i:i], c.events[i+1:]...)
			return e
		}
	}
	c.Fatalf("%s: want event %d, have %v", why, k, c.events)
	return Event{}
}

func (c *talk) wantNoEvents(why string) {
	c.Helper()
	if len(c.events) > 0 {
		c.Fatalf("%s: want no events, have %v", why, c.events)
	}
}

func (c *talk) wantDrop(why string, got, want Drop) {
	c.Helper()
	if got != want {
		c.Fatalf("%s: want the reason %v, got %v", why, want, got)
	}
}

func (c *talk) wantState(why string, want State) {
	c.Helper()
	if got := c.conn.State(); got != want {
		c.Fatalf("%s: want %v, got %v", why, want, got)
	}
}

// write writes n bytes of the pattern, the first being byte number at.
func (c *talk) write(at, n int) {
	c.Helper()
	for b := pattern(at-1, n); len(b) > 0; {
		k, err := c.table.Write(c.now, c.conn, b)
		if err != nil || k == 0 {
			c.Fatalf("write: %d of %d bytes, %v", k, len(b), err)
		}
		b = b[k:]
	}
	c.line("  write %d+%d", at, n)
	c.settle()
}

// read reads what there is, at most n bytes.
func (c *talk) read(n int) ([]byte, error) {
	c.Helper()
	b := make([]byte, n)
	k, err := c.table.Read(c.now, c.conn, b)
	c.line("  read %d, %v", k, err)
	c.settle()
	return b[:k], err
}

// wantRead reads n bytes that have to be the pattern from byte number at on.
func (c *talk) wantRead(why string, at, n int) {
	c.Helper()
	b, err := c.read(n)
	if err != nil || string(b) != string(pattern(at-1, n)) {
		c.Fatalf("%s: read %d bytes of %d, %v; or other bytes than were sent", why, len(b), n, err)
	}
}

func (c *talk) wantEOF(why string) {
	c.Helper()
	if b, err := c.read(10); len(b) > 0 || err != io.EOF {
		c.Fatalf("%s: want io.EOF, got %d bytes, %v", why, len(b), err)
	}
}

func (c *talk) closeWrite() {
	c.Helper()
	if err := c.table.CloseWrite(c.now, c.conn); err != nil {
		c.Fatalf("CloseWrite: %v", err)
	}
	c.line("  close write")
	c.settle()
}

func (c *talk) close() {
	c.Helper()
	c.table.Close(c.now, c.conn)
	c.line("  close")
	c.check()
	c.settle()
}

func (c *talk) abort() {
	c.Helper()
	c.table.Abort(c.now, c.conn)
	c.line("  abort")
	c.check()
	c.settle()
}
