package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"tcpd/ip"
	"tcpd/tun"
)

// tracer prints a line for every segment that crosses a link:
//
//	SEND|RECV|DROP seq ack conn FLAGS [DUP]
//
// Sequence numbers are relative to the first of their direction, connections are numbered in the order in which they
// begin. DUP marks a segment whose bytes have all been seen before in its direction; DROP one that the link was made to lose.
type tracer struct {
	mu    sync.Mutex
	out   *bufio.Writer
	conns map[traceFlow]*tracedConn
}

// traceFlow is a connection as our side sees it.
type traceFlow struct {
	remote     ip.Addr
	ours, peer uint16
}

// tracedConn is what is known of a connection: two directions, ours first.
type tracedConn struct {
	number int
	ways   [2]traceWay
}

// traceWay is one direction.
type traceWay struct {
	begun bool
	first uint32
	seen  []traceSpan // in order, without touching each other; relative
}

type traceSpan struct{ start, end uint32 }

// traceFlush is how long a line waits at most.
const traceFlush = 100 * time.Millisecond

func newTracer(w io.Writer) *tracer {
	t := &tracer{out: bufio.NewWriterSize(w, 64<<10), conns: map[traceFlow]*tracedConn{}}
	go func() {
		for range time.Tick(traceFlush) { // as long as the process
			t.flush()
		}
	}()
	return t
}

func (t *tracer) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.out.Flush() // nobody is there to be told
}

// observe is a tun.Observer.
func (t *tracer) observe(d tun.Direction, dropped bool, packet []byte) {
	var p ip.Packet
	if p.Parse(packet, ip.Offload{Checksum: ip.ChecksumVouched}) != ip.DropNone || p.Protocol != ip.ProtocolTCP || len(p.Payload) < 20 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.line(d, dropped, &p)
}

var traceFlags = []string{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"}

func (t *tracer) line(d tun.Direction, dropped bool, p *ip.Packet) {
	be, h := binary.BigEndian, p.Payload
	f := traceFlow{remote: p.Src, ours: be.Uint16(h[2:]), peer: be.Uint16(h)}
	way, verb := 1, "RECV"
	if d == tun.Out {
		f = traceFlow{remote: p.Dst, ours: be.Uint16(h), peer: be.Uint16(h[2:])}
		way, verb = 0, "SEND"
	}
	if dropped {
		verb = "DROP"
	}
	seq, ack, flags := be.Uint32(h[4:]), be.Uint32(h[8:]), h[13]
	c := t.conn(f, flags)
	n := uint32(max(len(h)-int(h[12]>>4)*4, 0)) + uint32(flags&1) + uint32(flags>>1&1)
	here, there := &c.ways[way], &c.ways[1-way]
	start, again := here.take(seq, n, flags&2 != 0, !dropped)
	var names []string
	for i, name := range traceFlags {
		if flags>>i&1 != 0 {
			names = append(names, name)
		}
	}
	if flags&0x10 == 0 {
		ack = there.first
	} else if !there.begun {
		there.begun, there.first = true, ack-1
	}
	fmt.Fprintf(t.out, "%s %d %d %d %s", verb, start, ack-there.first, c.number, strings.Join(names, ","))
	if again {
		fmt.Fprint(t.out, " DUP")
	}
	fmt.Fprintln(t.out)
}

// conn returns the connection of a flow; a first SYN begins another one.
func (t *tracer) conn(f traceFlow, flags byte) *tracedConn {
	c := t.conns[f]
	const syn, ack = 0x02, 0x10
	over := c != nil && flags&(syn|ack) == syn && c.ways[0].begun && c.ways[1].begun
	if c == nil || over {
		c = &tracedConn{number: len(t.conns) + 1}
		if over {
			c.number = t.conns[f].number
		}
		t.conns[f] = c
	}
	return c
}

// take notes n sequence numbers from seq on, if they count, and returns the first relative to the begin, and whether all of
// them were there already.
func (w *traceWay) take(seq, n uint32, syn, counts bool) (start uint32, again bool) {
	if !w.begun {
		w.begun, w.first = true, seq
		if !syn {
			w.first = seq - 1 // the trace begins in the middle
		}
	}
	s := traceSpan{seq - w.first, seq - w.first + n}
	for _, have := range w.seen {
		if n > 0 && have.start <= s.start && s.end <= have.end {
			return s.start, true
		}
	}
	if n > 0 && counts {
		w.add(s)
	}
	return s.start, false
}

// add keeps the spans apart and in order.
func (w *traceWay) add(s traceSpan) {
	kept := w.seen[:0]
	var after []traceSpan
	for _, have := range w.seen {
		switch {
		case have.end < s.start:
			kept = append(kept, have)
		case s.end < have.start:
			after = append(after, have)
		default:
			s = traceSpan{min(s.start, have.start), max(s.end, have.end)}
		}
	}
	w.seen = append(append(kept, s), after...)
}
