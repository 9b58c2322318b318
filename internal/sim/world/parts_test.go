package world

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"tcpd/ip"
	"tcpd/tcp"
)

func TestContent_sameBytesWhateverThePieces(t *testing.T) {
	whole := bytes.Clone(content(7, tapeLen-500, 1000)) // across the end of the tape
	for from := range 999 {
		for size := range min(50, 1000-from) {
			if piece := content(7, tapeLen-500+from, size); !bytes.Equal(piece, whole[from:from+size]) {
				t.Fatalf("%d bytes from %d on differ", size, from)
			}
		}
	}
	if bytes.Equal(content(8, tapeLen-500, 1000), whole) {
		t.Error("two streams have the same content")
	}
}

func TestAgenda_inOrder(t *testing.T) {
	d := newDice(1, 1)
	var g agenda
	for range 1000 {
		g.add(item{at: tcp.Time(d.IntN(100))})
	}
	last := g.take()
	for range 999 {
		x := g.take()
		if before(&x, &last) {
			t.Fatalf("item %d of time %d after item %d of time %d", x.order, x.at, last.order, last.at)
		}
		last = x
	}
	if g.next() != tcp.Never {
		t.Error("the agenda is not empty")
	}
}

// aSegment returns a packet with a TCP segment and complete checksums.
func aSegment(t *testing.T, d dice, v6 bool) []byte {
	t.Helper()
	p := plan{v6: v6}
	a := p.addresses()
	payload := content(d.Uint64(), 0, d.IntN(100))
	h := ip.Header{Src: a[0], Dst: a[1], Protocol: ip.ProtocolTCP, TTL: 64, PayloadLen: tcpHeader + len(payload)}
	b := make([]byte, h.Len()+tcpHeader)
	n := h.Put(b)
	b[n+atOffset], b[n+atFlags] = tcpHeader/4<<4, byte(tcp.ACK)
	sum := ip.PseudoSum(a[0], a[1], ip.ProtocolTCP, tcpHeader+len(payload))
	b[n+16], b[n+17] = byte(sum>>8), byte(sum)
	o := ip.Outgoing{
		Header: b, Payload: [][]byte{payload}, NetworkLen: n, ChecksumOffset: 16, Offload: ip.Offload{Checksum: ip.ChecksumPartial},
	}
	var whole []byte
	var s ip.Segmenter
	if err := s.Split(&o, func(o *ip.Outgoing) error { whole = flatten(nil, o); return nil }); err != nil {
		t.Fatal(err)
	}
	return whole
}

// TestCorrupt_checksumsSeeIt: what the link calls corrupted can be noticed.
func TestCorrupt_checksumsSeeIt(t *testing.T) {
	d := newDice(1, 1)
	for n := range few(100_000, 100_000) {
		b := aSegment(t, d, n%2 != 0)
		var p ip.Packet
		if r := p.Parse(b, ip.Offload{}); r != ip.DropNone || !p.TransportChecksumOK() {
			t.Fatalf("a good packet: %v", r)
		}
		good := bytes.Clone(b)
		corrupt(d, b)
		if p.Parse(b, ip.Offload{}) == ip.DropNone && p.TransportChecksumOK() {
			t.Fatalf("nobody notices\n%x\n%x", good, b)
		}
	}
}

// TestOraclesObject breaks the world behind the back of the oracles, which have to notice.
func TestOraclesObject(t *testing.T) {
	healthy := func(p *plan) {
		c := connPlan{apps: [2]appPlan{{send: 100_000, read: 5000, write: 5000}, {send: 50_000, read: 5000, write: 5000}}}
		*p = plan{seed: 1, form: formWire, origin: tcp.Time(tcp.Second), conns: []connPlan{c}}
		for i := range p.ends {
			p.ends[i].mtu = 1500
			p.links[i] = linkPlan{delay: tcp.Millisecond, heal: p.origin.Add(tcp.Minute)}
		}
	}
	for _, c := range []struct {
		name   string
		plan   func(*plan)
		tamper func(*world)
		want   string
		late   bool
	}{
		{"nothing", nil, nil, "", false},
		{"other bytes", nil, func(w *world) { w.apps[1].expect++ }, "of the stream", false},
		{"a byte is missing", nil, func(w *world) { w.apps[0].sent++ }, "EOF after", true},
		{"a window that was larger", nil, func(w *world) { w.pairs[0].taps[0].edge += 1 << 24 }, "retreats", false},
		{"a window that is not scaled", nil, func(w *world) { w.pairs[0].taps[0].scale = -1 }, "the window that was offered", false},
		{"bytes the peer has not sent", nil, func(w *world) { w.pairs[0].taps[1].max -= 1 << 20 }, "the peer sent up to", true},
		{"bytes that were SACKed", nil, func(w *world) {
			t := &w.pairs[0].taps[0]
			t.sacked, t.claimed = append(t.sacked, stretch{t.ack + 1, t.ack + 10_000_000}), 9_999_999
		}, "SACKed", false},
		{"a segment for a smaller peer", nil, func(w *world) { w.pairs[0].taps[0].peerMSS = 1000 }, "the peer takes", false},
		{"a link that is narrower", nil, func(w *world) { w.ends[0].mtu = 1000 }, "the MTU is", false},
		{"a state that does not lead here", nil, func(w *world) { w.apps[0].state = tcp.TimeWait }, "goes from", false},
		{"bytes nobody wrote", nil, func(w *world) { w.apps[0].sent -= 90_000 }, "the peer wrote", true},
		{"bytes the application never got", nil, func(w *world) { w.apps[1].over = true }, "are acknowledged", false},
		{"a segment nobody counted", nil, func(w *world) { w.ends[0].arrived++ }, "segments counted", false},
		{"memory nobody gave back", nil, func(w *world) { w.ends[0].memory.used++ }, "the budget says", false},
		{"a link that does nothing", func(p *plan) { p.links[0].loss, p.links[0].heal = 1, tcp.Never }, nil, "timed out", false},
		{"a link that loses", func(p *plan) { p.links[0].nth = []int{5}; p.links[0].loss = 1e-9 }, nil, "", false},
		{"an application that waits for ever", func(p *plan) { p.conns[0].apps[0].end, p.conns[0].apps[1].end = endAfter, endAfter }, nil, "nothing moves", false},
		{"corruption that is none", func(p *plan) { p.links[1].flip = 1e-9 }, func(w *world) { w.links[1].blunt = true; w.links[1].plan.flip = 1 }, "gets through", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p plan
			healthy(&p)
			if c.plan != nil {
				c.plan(&p)
			}
			at := 4 * tcp.Millisecond // data are under way
			if c.late {
				at = 7 * tcp.Millisecond // all have been sent
			}
			got := objection(p, at, c.tamper)
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("want %q, got %q", c.want, got)
			}
		})
	}
}

// objection runs a plan, tampered with after a few round trips, and returns what the oracles say.
func objection(p plan, at tcp.Duration, tamper func(*world)) (says string) {
	w := newWorld(p, io.Discard)
	w.mild = true
	defer func() {
		if x := recover(); x != nil {
			says = describe(x)
		}
	}()
	w.start()
	for w.now < p.origin.Add(at) && w.next() {
	}
	if tamper != nil {
		tamper(w)
	}
	for w.next() {
	}
	w.checkEnd()
	return ""
}
