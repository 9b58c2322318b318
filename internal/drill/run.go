package drill

import (
	"fmt"
	"maps"
	"slices"

	"tcpd/ip"
	"tcpd/tcp"
)

// Family is the address family of a run.
type Family uint8

// The families.
const (
	IPv4 Family = iota
	IPv6
)

func (f Family) String() string { return [...]string{"ipv4", "ipv6"}[f] }

// Families returns the families that a script is for.
func (s *Script) Families() []Family {
	switch s.options.family {
	case "ipv4":
		return []Family{IPv4}
	case "ipv6":
		return []Family{IPv6}
	}
	return []Family{IPv4, IPv6}
}

const (
	epoch       = tcp.Time(1000 * tcp.Second)
	patience    = 48 * tcp.Hour // how long * waits
	remotePort  = 40000         // of a peer that connects
	maxPackets  = 100_000       // of one event
	maxDeadline = 1_000_000     // timers of one event
)

var addresses = [...]struct{ local, remote ip.Addr }{
	{ip.Addr4([4]byte{10, 0, 0, 2}), ip.Addr4([4]byte{10, 0, 0, 1})},
	{ip.Addr{0xfd, 15: 2}, ip.Addr{0xfd, 15: 1}},
}

// peerISS are where the peers' sequence numbers begin: one shortly before the numbers wrap, one before their sign changes.
var peerISS = [...]uint32{0xffff_ff00, 0x7fff_fe00}

// run is one script against one table.
type run struct {
	script   *Script
	family   Family
	table    *tcp.Table
	now      tcp.Time
	base     tcp.Time // what relative times are relative to
	defaults tcp.Options
	limits   [3]int // connections, half-open, TIME-WAIT

	conversations map[ports]*conversation
	current       ports // of packets that name none
	sockets       map[int64]*socket
	under         *socket // the socket under test: the last that was accepted or connected
	pending       *pendingCall
	sent          []segment // and not yet matched
	segmenter     ip.Segmenter
	memory        budget
	cookie        []byte // of Fast Open, that left last
	fastOpen      tcp.FastOpen
	reports       int64 // tcp.EventReport

	event  *event
	report Report
}

// budget counts what the table has charged.
type budget struct{ used int }

func (b *budget) Charge(n int) bool { b.used += n; return true }
func (b *budget) Release(n int)     { b.used -= n }
func (b *budget) Pressure() bool    { return false }

// ports name a conversation.
type ports struct{ local, remote uint16 }

// conversation maps the numbers of a script to those of the wire.
type conversation struct {
	flow    tcp.Flow
	iss     uint32 // the table's; 0 until its SYN has left
	knows   bool
	peer    uint32
	written []byte // what the application wrote since the SYN
	stamps  map[uint32]uint32
	first   bool   // stamps has its first pair, the one that offset is of
	offset  uint32 // from script to wire
	last    uint32 // timestamp that left
	seenTS  bool
}

// Run runs the script over one family.
func (s *Script) Run(f Family) *Report {
	r := &run{
		script: s, family: f, now: epoch, base: epoch, conversations: map[ports]*conversation{}, sockets: map[int64]*socket{},
		current: ports{s.options.port, remotePort}, fastOpen: tcp.FastOpenServer | tcp.FastOpenClient,
	}
	r.report.head = fmt.Sprintf("%s over %v", s.Name, f)
	for _, c := range s.init {
		r.command(command(c))
	}
	r.table = tcp.NewTable(tcp.Config{
		Secret: [16]byte{7, 3, 1}, Seed: 1, MTU: r.mtu(), Connections: r.limits[0], HalfOpen: r.limits[1], TimeWait: r.limits[2],
		Memory: &r.memory,
	})
	for i := range s.events {
		r.step(&s.events[i])
	}
	r.finish()
	return &r.report
}

// step lets an event happen at its time.
func (r *run) step(e *event) {
	r.event = e
	start, end := epoch.Add(e.when.start), epoch.Add(e.when.end)
	if e.when.relative {
		start, end = r.base.Add(e.when.start), r.base.Add(e.when.end)
	}
	if p, ok := e.action.(*packet); ok && !p.inbound {
		r.expect(p, e, start, end)
		return
	}
	r.base = start
	if _, ok := e.action.(*call); ok {
		r.await()
	}
	r.advance(start)
	r.report.script(r.now, e)
	switch a := e.action.(type) {
	case *packet:
		r.arrive(a)
	case *call:
		r.invoke(a, e, end)
	case command:
		r.command(a)
	case code:
		r.assert(a)
	}
	r.settle()
}

// mismatch reports that something is not as the event says.
func (r *run) mismatch(format string, args ...any) {
	line := 0
	if r.event != nil {
		line = r.event.line
	}
	r.report.mismatch(r.script.Name, line, r.now, fmt.Sprintf(format, args...))
}

// advance lets time pass; timers run at their time.
func (r *run) advance(to tcp.Time) {
	for n := 0; ; n++ {
		next := r.table.Deadline()
		if next > to || n > maxDeadline {
			break
		}
		r.tick(max(next, r.now))
	}
	if to > r.now {
		r.tick(to)
	}
}

func (r *run) tick(now tcp.Time) {
	r.now = now
	r.table.Advance(now)
	r.settle()
}

// settle takes what the table has to send, retries a call that blocks, and checks the table's invariants.
func (r *run) settle() {
	var out ip.Outgoing
	for again := true; again; {
		for n := 0; r.table.Poll(r.now, &out); n++ {
			if n > maxPackets {
				r.mismatch("the table never stops sending")
				return
			}
			if err := r.segmenter.Split(&out, r.record); err != nil {
				r.mismatch("a packet cannot be segmented: %v", err)
			}
		}
		for _, e := range r.table.Events() {
			if e.Kind == tcp.EventReport {
				r.reports++
			}
		}
		again = r.retry()
	}
	if err := r.table.Check(); err != nil {
		r.mismatch("invariant: %v", err)
	}
}

// talk returns the conversation of a pair of ports.
func (r *run) talk(p ports) *conversation {
	c, ok := r.conversations[p]
	if !ok {
		a := addresses[r.family]
		c = &conversation{
			flow: tcp.Flow{Local: a.local, Remote: a.remote, LocalPort: p.local, RemotePort: p.remote},
			peer: peerISS[r.family], stamps: map[uint32]uint32{},
		}
		r.conversations[p] = c
	}
	return c
}

// talkOf returns the conversation that a line is about.
func (r *run) talkOf(p *packet) (*conversation, ports) {
	at := r.current
	switch {
	case p.srcPort != 0 && p.inbound:
		at = ports{p.dstPort, p.srcPort}
	case p.srcPort != 0:
		at = ports{p.srcPort, p.dstPort}
	}
	return r.talk(at), at
}

// finish ends the run: calls return, no packet is left over, and the table is empty when everything has been given up.
func (r *run) finish() {
	r.await()
	if !r.script.options.ignoreRest {
		for i := range r.sent {
			r.mismatch("%v left at %s, and no line expects it", &r.sent[i], clock(r.sent[i].at))
		}
	}
	r.report.line(r.now, "      the end of the script; what is left is given up")
	for _, fd := range slices.Sorted(maps.Keys(r.sockets)) {
		r.discard(r.sockets[fd])
	}
	r.event = nil
	r.settle()
	r.advance(r.now.Add(10 * tcp.Minute))
	if n := r.table.Len(); n.Connections+n.HalfOpen+n.TimeWait+n.Listeners != 0 || r.memory.used != 0 {
		r.mismatch("ten minutes after everything was given up there are %+v and %d bytes", n, r.memory.used)
	}
}
