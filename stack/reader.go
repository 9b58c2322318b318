package stack

import (
	"encoding/binary"
	"runtime"
	"slices"
	"sync/atomic"

	"tcpd/ip"
	"tcpd/tcp"
)

const (
	// batch is how many packets one call of the link reads. Super-packets make it half a megabyte: acknowledging every so
	// often beats waiting for the end of a standing queue.
	batch = 8
	// A turn goes on reading while the queue is not empty, up to these: small packets come many at a time.
	turnPackets = 64
	turnBytes   = 256 << 10
)

// reader reads one queue: packets in, one after the other, to the shards that own them; then what follows from all of them
// out, and applications woken.
type reader struct {
	stack   *Stack
	queue   int
	backlog *backlog
	deliver func([]byte, ip.Offload)

	now     tcp.Time // of the read; 0: not read yet
	packets int      // of the turn
	bytes   int
	touched []*shard // by the turn
	isIn    []bool   // by index of shard: it is in touched
	wakes   wakes
	woke    bool // somebody, since it was cleared

	packet ip.Packet
	icmp   ip.ICMP
	reply  []byte
	out    ip.Outgoing

	counters counters
	flows    flowSketch    // of what arrives
	waiting  atomic.Bool   // for the first packet of a turn
	turns    atomic.Uint64 // completed
}

func newReader(s *Stack, queue int) *reader {
	r := &reader{stack: s, queue: queue, backlog: &backlog{}, isIn: make([]bool, len(s.shards))}
	r.deliver = r.arrive
	return r
}

// run reads until the link fails.
func (r *reader) run() {
	defer r.stack.readers.Done()
	for {
		r.begin()
		r.waiting.Store(true)
		err := r.stack.link.Read(r.queue, batch, r.deliver)
		r.waiting.Store(false)
		r.backlog.read(r.now, r.packets)
		if err == nil {
			err = r.readOn()
		}
		r.serve()
		r.finish()
		r.turns.Add(1)
		r.yield()
		if err != nil {
			r.stack.fail(err)
			return
		}
	}
}

// bulk is a turn of so many bytes that applications are let run before anything is sent.
const bulk = 128 << 10

// serve lets those who read run before it is acknowledged what they read, when that is much: one acknowledgement then says
// both what has arrived and that there is room again. Whoever has something else to send does so meanwhile.
func (r *reader) serve() {
	if r.bytes < bulk {
		return
	}
	r.stack.movesMuch()
	for _, sh := range r.touched {
		sh.collect(sh.lockAt(r.now), &r.wakes)
		sh.serving = true
		sh.mu.Unlock()
	}
	r.wakes.send()
	runtime.Gosched()
	for _, sh := range r.touched {
		sh.mu.Lock()
		sh.serving = false
		sh.mu.Unlock()
	}
}

// yield lets those run who were woken, before more arrives for them: what they are to read still is in the processor's cache.
func (r *reader) yield() {
	if r.woke {
		r.woke = false
		runtime.Gosched()
	}
}

func (r *reader) begin() {
	r.now, r.packets, r.bytes = 0, 0, 0
}

// readOn takes what else has arrived while reading goes on being full.
func (r *reader) readOn() error {
	for n := r.packets; n == batch && r.packets < turnPackets && r.bytes < turnBytes; {
		var err error
		r.now = 0
		if n, err = r.stack.link.Poll(r.queue, batch, r.deliver); err != nil {
			return err
		}
		r.backlog.read(r.now, n)
	}
	return nil
}

// poll begins a turn with what has arrived, if anything has. It takes as much as a turn of the reader's: with one batch between
// bursts the acknowledgements of a few downloads came faster than they were read, and everybody's packets waited behind them.
func (r *reader) poll() error {
	r.begin()
	n, err := r.stack.link.Poll(r.queue, batch, r.deliver)
	r.backlog.read(r.now, n)
	if err != nil {
		return err
	}
	return r.readOn()
}

// finish sends what follows from the turn. Between bursts it takes what has arrived meanwhile, so that small exchanges do not
// wait behind large ones.
func (r *reader) finish() {
	r.stack.followMTU()
	if r.queue >= r.stack.Spread() {
		r.finishAside()
		return
	}
	for r.flush() {
		r.turns.Add(1)
		r.woke = false
		runtime.Gosched() // who sends for another shard has waited for a processor since the last burst
		_ = r.poll()      // the next Read tells of an error
	}
}

// finishAside is finish for a queue that nobody writes to, which flows leave as soon as they are answered: between bursts the
// queues that are written are looked at as well.
func (r *reader) finishAside() {
	for r.flush() {
		r.turns.Add(1)
		for _, sh := range r.touched {
			r.stack.guests[sh.queue()].read()
		}
		r.woke = false
		runtime.Gosched()
		_ = r.poll() // the next Read tells of an error
	}
}

// flush sends a burst of every shard touched and wakes applications. It reports whether there is more to send.
func (r *reader) flush() (more bool) {
	kept := r.touched[:0]
	now := r.stack.now() // what leaves now leaves now, however long the processing has taken
	for _, sh := range r.touched {
		if sh.leaveBurst(sh.lockAt(now), &r.wakes) {
			kept = append(kept, sh)
		} else {
			r.isIn[sh.index] = false
		}
	}
	r.touched = kept
	r.woke = r.woke || r.wakes.n > 0
	r.wakes.send()
	return len(kept) > 0
}

// forget takes a shard off the list of those touched.
func (r *reader) forget(sh *shard) {
	if r.isIn[sh.index] {
		r.isIn[sh.index] = false
		r.touched = slices.DeleteFunc(r.touched, func(t *shard) bool { return t == sh })
	}
}

// stamp reads the clock once a read: all that is read together has arrived together, however long the processing takes, and
// what is read later has arrived later.
func (r *reader) stamp() {
	if r.now == 0 {
		r.now = r.stack.now()
	}
}

func (r *reader) touch(sh *shard) {
	if !r.isIn[sh.index] {
		r.isIn[sh.index] = true
		r.touched = append(r.touched, sh)
	}
}

// arrive takes one packet from the link.
func (r *reader) arrive(b []byte, o ip.Offload) {
	r.waiting.Store(false)
	r.stamp()
	r.packets++
	r.bytes += len(b)
	r.counters.packets.Add(1)
	r.counters.bytes.Add(uint64(len(b)))
	p := &r.packet
	if d := p.Parse(b, o); d != ip.DropNone {
		r.counters.dropIP(d)
		r.answerParameterProblem(p, d)
		return
	}
	if !r.admit(p) {
		return
	}
	if p.Fragment.IsFragment() {
		r.reassemble(p)
		return
	}
	r.dispatch(p)
}

// admit judges the addresses of a packet.
func (r *reader) admit(p *ip.Packet) bool {
	if d := p.Martian(); d != ip.DropNone {
		r.counters.dropIP(d)
		return false
	}
	d := DropNone
	switch own := r.stack.addresses; {
	case !own.has(p.Dst):
		d = DropNotOurs
	case own.has(p.Src):
		d = DropSourceOurs
	case own.broadcast(p.Src):
		d = DropSourceBroadcast
	default:
		return true
	}
	r.counters.drop(d)
	return false
}

// dispatch hands a whole packet on by its protocol.
func (r *reader) dispatch(p *ip.Packet) {
	switch {
	case p.Protocol == ip.ProtocolTCP:
		r.arriveTCP(p)
	case p.Protocol == ip.ProtocolICMP && p.Src.Is4(), p.Protocol == ip.ProtocolICMPv6 && !p.Src.Is4():
		r.arriveICMP(p)
	case p.Protocol == ip.ProtocolUDP && !p.TransportChecksumOK():
		r.counters.drop(DropUDPChecksum)
	case p.Protocol == ip.ProtocolUDP:
		r.counters.drop(DropUDPPort)
		r.answerUnreachable(ip.PortUnreachable, p)
	default:
		r.counters.drop(DropProtocol)
		r.answerUnreachable(ip.ProtocolUnreachable, p)
	}
}

// arriveTCP hands a segment to the shard that owns its flow, whichever queue it came in by.
func (r *reader) arriveTCP(p *ip.Packet) {
	f := tcp.Flow{Local: p.Dst, Remote: p.Src}
	if len(p.Payload) >= 14 {
		f.RemotePort = binary.BigEndian.Uint16(p.Payload)
		const syn, ack = 0x02, 0x10
		if p.Payload[13]&(syn|ack) == syn {
			if d := r.stack.sources.arrive(r.now, p.Src); d != DropNone {
				r.counters.drop(d)
				return
			}
		}
	}
	hash := r.stack.hash.flow(&f)
	r.flows.see(hash)
	sh := r.stack.shardOf(hash)
	now := sh.lockAt(r.now)
	if sh.closed {
		sh.mu.Unlock()
		r.counters.drop(DropClosed)
		return
	}
	sh.table.SetStanding(r.backlog.standing(now))
	d := sh.table.ArriveAt(now, r.now, p)
	sh.mu.Unlock()
	r.counters.fate(d)
	r.touch(sh)
}

// reassemble takes a fragment. This path is slow and shared by all readers: a flow that lives on it is broken anyway.
func (r *reader) reassemble(p *ip.Packet) {
	f := &r.stack.fragments
	f.mu.Lock()
	defer f.mu.Unlock()
	datagram, d := f.reassembler.Add(int64(f.at(r.now)), p)
	if d != ip.DropNone {
		r.counters.dropIP(d)
		return
	}
	r.counters.fragments.Add(1)
	if datagram == nil {
		f.arm()
		return
	}
	r.counters.reassembled.Add(1)
	if d := p.Parse(datagram, ip.Offload{}); d != ip.DropNone {
		r.counters.dropIP(d)
		return
	}
	r.dispatch(p)
}
