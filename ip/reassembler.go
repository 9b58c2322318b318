package ip

// What incomplete datagrams may cost. The memory comes from whoever makes the Reassembler; Linux allows 4 MiB.
const (
	// RFC 8200, section 4.5, says 60 s, RFC 1122, section 3.3.2, 60 to 120 s. 30 s is what Linux waits in IPv4; fragments
	// that are not lost arrive within one.
	fragmentTimeout = 30_000_000_000 // ns

	// A datagram of 65,535 bytes over the minimum IPv6 MTU makes 54.
	maxFragments = 64

	// One source may hold an eighth, so that it cannot push the others out (FragmentSmack, CVE-2018-5391).
	shareDivisor = 8

	// Charged besides the bytes themselves, so that a flood of tiny fragments costs what it takes.
	datagramCost = 512
	pieceCost    = 64
)

// Reassembler puts datagrams together from IPv4 and IPv6 fragments (RFC 791, section 3.2; RFC 8200, section 4.5), within a
// memory limit. When that is reached the oldest incomplete datagrams go, first those of the same source. It is used by one
// goroutine at a time.
//
// Overlapping fragments are an attack in both families (RFC 5722): the datagram is given up, with what is still to come of
// it. Exact duplicates are dropped alone. No ICMP message is sent about datagrams that do not complete.
type Reassembler struct {
	max, share int
	bytes      int
	datagrams  map[datagramKey]*datagram
	sources    map[Addr]*source
	age        queue // all, oldest first
	out        []byte
	counters   ReassemblerCounters
}

// ReassemblerCounters tell what became of the fragments that Add took in, those for which it returned DropNone. Waiting
// fragments are Taken - Joined - the sum of Lost.
type ReassemblerCounters struct {
	Taken     uint64           // fragments
	Joined    uint64           // fragments that became part of a datagram
	Datagrams uint64           // completed
	Lost      [NumDrops]uint64 // fragments taken in and dropped later, with their datagram
}

// NewReassembler returns an empty Reassembler that keeps at most maxBytes, its own bookkeeping included.
func NewReassembler(maxBytes int) *Reassembler {
	return &Reassembler{
		max: maxBytes, share: maxBytes / shareDivisor,
		datagrams: make(map[datagramKey]*datagram),
		sources:   make(map[Addr]*source),
		age:       queue{link: linkAge},
	}
}

// Bytes returns how much is held now, as charged against the limit.
func (r *Reassembler) Bytes() int { return r.bytes }

// Counters returns what has been counted so far.
func (r *Reassembler) Counters() ReassemblerCounters { return r.counters }

// Add takes in the fragment p, a parsed packet, at now (nanoseconds of any clock that does not go back), and copies what it
// keeps. When the fragment completes its datagram, that is returned as a packet to be parsed with the zero Offload; it is
// borrowed until the next Add. Without datagram and DropNone the fragment waits for the others.
func (r *Reassembler) Add(now int64, p *Packet) (datagram []byte, d Drop) {
	r.Expire(now)
	if !p.Fragment.IsFragment() {
		r.out = append(append(r.out[:0], p.Header...), p.Payload...)
		return r.out, DropNone
	}
	if d := checkFragment(p); d != DropNone {
		return nil, d
	}
	g := r.find(now, p)
	if g == nil {
		return nil, DropFragmentMemory
	}
	if g.dead != DropNone {
		return nil, g.dead
	}
	if d := r.take(g, p); d != DropNone {
		return nil, d
	}
	if !g.complete() {
		return nil, DropNone
	}
	return r.join(g)
}

// Expire gives up the datagrams whose first fragment came 30 s before now, and returns how many.
func (r *Reassembler) Expire(now int64) (expired int) {
	for g := r.age.oldest; g != nil && now-g.born >= fragmentTimeout; g = r.age.oldest {
		r.remove(g, DropFragmentTimeout)
		expired++
	}
	return expired
}

// find returns the datagram that p is a part of, new if need be; nil when there is no memory.
func (r *Reassembler) find(now int64, p *Packet) *datagram {
	key := keyOf(p)
	if g := r.datagrams[key]; g != nil {
		return g
	}
	from := sourceOf(p)
	if !r.reserve(from, datagramCost, nil) {
		return nil
	}
	s := r.sources[from]
	if s == nil {
		s = &source{addr: from, age: queue{link: linkSource}}
		r.sources[from] = s
	}
	g := &datagram{key: key, source: s, born: now}
	r.datagrams[key] = g
	r.age.push(g)
	s.age.push(g)
	r.charge(g, datagramCost)
	return g
}

// take stores p among the pieces of g.
func (r *Reassembler) take(g *datagram, p *Packet) Drop {
	at, d := g.place(p)
	if d == DropFragmentDuplicate {
		return d
	}
	if d != DropNone {
		r.kill(g, d)
		return d
	}
	cost := pieceCost + len(p.Payload)
	if p.Fragment.Offset == 0 {
		cost += len(p.Header)
	}
	if !r.reserve(g.source.addr, cost, g) {
		// It will not complete without this fragment.
		r.remove(g, DropFragmentMemory)
		return DropFragmentMemory
	}
	r.charge(g, cost)
	g.insert(at, p)
	r.counters.Taken++
	return DropNone
}

// join builds the datagram that g has become.
func (r *Reassembler) join(g *datagram) ([]byte, Drop) {
	out, d := g.build(r.out[:0])
	if d != DropNone {
		// The last fragment was counted as taken, so its loss is counted here and not by the caller.
		r.counters.Taken--
		g.pieces = g.pieces[:len(g.pieces)-1]
		r.remove(g, d)
		return nil, d
	}
	r.out = out
	r.counters.Datagrams++
	r.counters.Joined += uint64(len(g.pieces))
	g.pieces = nil
	r.remove(g, DropNone)
	return out, DropNone
}

// reserve makes room for cost more bytes from a source, at the expense of the oldest datagrams but not of keep.
func (r *Reassembler) reserve(from Addr, cost int, keep *datagram) bool {
	for {
		s := r.sources[from]
		if s == nil || s.bytes+cost <= r.share {
			break
		}
		if !r.evict(&s.age, keep) {
			return false
		}
	}
	for r.bytes+cost > r.max {
		if !r.evict(&r.age, keep) {
			return false
		}
	}
	return cost <= r.share
}

// evict removes the oldest of q other than keep, if there is one.
func (r *Reassembler) evict(q *queue, keep *datagram) bool {
	g := q.oldest
	if g != nil && g == keep {
		g = g.links[q.link].newer
	}
	if g == nil {
		return false
	}
	r.remove(g, DropFragmentEvicted)
	return true
}

// kill frees what g holds, but remembers it until its time is over: fragments "not yet received" of an overlapping datagram
// are dropped as well (RFC 5722, section 4).
func (r *Reassembler) kill(g *datagram, why Drop) {
	r.counters.Lost[why] += uint64(len(g.pieces))
	r.charge(g, datagramCost-g.cost)
	g.pieces, g.header = nil, nil
	g.dead = why
}

// remove forgets g, and counts the fragments that it still holds under why.
func (r *Reassembler) remove(g *datagram, why Drop) {
	r.counters.Lost[why] += uint64(len(g.pieces))
	r.charge(g, -g.cost)
	delete(r.datagrams, g.key)
	r.age.remove(g)
	g.source.age.remove(g)
	if g.source.age.oldest == nil {
		delete(r.sources, g.source.addr)
	}
}

func (r *Reassembler) charge(g *datagram, n int) {
	r.bytes += n
	g.source.bytes += n
	g.cost += n
}
