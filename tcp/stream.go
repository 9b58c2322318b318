package tcp

// stream is a window onto a stream of bytes, kept in pages and addressed by sequence number:
//
//	front                 front+len
//	  |--- contiguous --------|      bytes may also lie further on, with holes before them
//
// The page of a byte follows from its sequence number, so bytes can be stored in any order at the cost of the page they
// fall into. Pages come with the first byte stored in them and go when front has passed them or the stream is empty.
type stream struct {
	big    ringNumber // a ring of the pool's, once four pages do not suffice
	small  [4]page
	front  Seq
	len    uint32 // contiguous bytes from front on
	stored uint32 // pages held
}

func (s *stream) ring(p *pool) []page {
	if s.big != 0 {
		return p.ring(s.big)
	}
	return s.small[:]
}

func (s *stream) end() Seq { return s.front + Seq(s.len) }

// slot returns where the page of sequence number at is kept.
func (s *stream) slot(r []page, at Seq) *page { return &r[int(at>>pageShift)&(len(r)-1)] }

// reserve makes the ring long enough for the bytes up to end; false when the budget refuses.
func (s *stream) reserve(p *pool, end Seq) bool {
	r := s.ring(p)
	need := int((end-1)>>pageShift-s.front>>pageShift)&(1<<(32-pageShift)-1) + 1
	if need <= len(r) {
		return true
	}
	n := len(r)
	for n < need {
		n *= 2
	}
	number := p.getRing(n)
	if number == 0 {
		return false
	}
	big := p.ring(number)
	for i := range r {
		at := s.front + Seq(i)<<pageShift
		*s.slot(big, at) = *s.slot(r, at)
	}
	s.dropRing(p)
	s.big = number
	return true
}

// dropRing gives the ring up, whatever is in it.
func (s *stream) dropRing(p *pool) {
	if s.big != 0 {
		p.putRing(s.big)
	}
	s.big, s.small = 0, [4]page{}
}

// store copies b to its place from sequence number at on, which must not lie before front. It returns how many bytes found
// room; fewer than len(b) when the pool refuses a page.
func (s *stream) store(p *pool, at Seq, b []byte) int {
	if len(b) == 0 {
		return 0
	}
	if !s.reserve(p, at.Add(len(b))) {
		return 0
	}
	r := s.ring(p)
	n := 0
	for n < len(b) {
		pg := s.slot(r, at)
		if *pg == 0 {
			if *pg = p.get(); *pg == 0 {
				break
			}
			s.stored++
		}
		k := copy(p.bytes(*pg)[at&(pageSize-1):], b[n:])
		n += k
		at = at.Add(k)
	}
	return n
}

// cover takes the pages of n bytes from sequence number at on and of all bytes before them, so that what lies in the holes
// can be kept when it comes. It returns how many of the n bytes have their pages then; fewer when the pool refuses one.
func (s *stream) cover(p *pool, at Seq, n int) int {
	end := at.Add(n)
	reserved := s.reserve(p, end)
	for r := s.ring(p); ; {
		next := (s.front>>pageShift + Seq(s.stored)) << pageShift // pages are held without gap from that of front on
		if end.LessEq(next) {
			return n
		}
		pg := page(0)
		if reserved {
			pg = p.get()
		}
		if pg == 0 {
			return max(next.Sub(at), 0)
		}
		*s.slot(r, next) = pg
		s.stored++
	}
}

// missing returns how many bytes of pages cover would take for what ends at end.
func (s *stream) missing(end Seq) int {
	return end.Sub((s.front>>pageShift + Seq(s.stored)) << pageShift)
}

// load copies bytes from sequence number at on into b.
func (s *stream) load(p *pool, at Seq, b []byte) {
	r := s.ring(p)
	for n := 0; n < len(b); {
		k := copy(b[n:], p.bytes(*s.slot(r, at))[at&(pageSize-1):])
		n += k
		at = at.Add(k)
	}
}

// slices appends to dst the n bytes from sequence number at on, as they lie in their pages; neighbouring pages become one
// slice. They are borrowed until front passes them.
func (s *stream) slices(p *pool, at Seq, n int, dst [][]byte) [][]byte {
	r := s.ring(p)
	var last page
	for n > 0 {
		pg := *s.slot(r, at)
		off := int(at & (pageSize - 1))
		k := min(n, pageSize-off)
		if last != 0 && pg == last+1 && int(last)%slabPages != 0 {
			prev := dst[len(dst)-1]
			dst[len(dst)-1] = p.join(prev, last, k)
		} else {
			dst = append(dst, p.bytes(pg)[off:off+k])
		}
		last, at, n = pg, at.Add(k), n-k
	}
	return dst
}

// join extends b, which ends with page last, by k bytes of the next page of the same slab.
func (p *pool) join(b []byte, last page, k int) []byte {
	slab := p.slabs[int(last-1)/slabPages]
	end := (int(last-1)%slabPages + 1) * pageSize
	return slab[end-len(b) : end+k]
}

// advance lets go of n bytes at the front. The pages go back last first: the pool hands out what came last, so that a run of
// neighbours stays one, and leaves in one piece again (see slices).
func (s *stream) advance(p *pool, n int) {
	to := s.front.Add(n)
	r := s.ring(p)
	for passed := uint32(to>>pageShift-s.front>>pageShift) & (1<<(32-pageShift) - 1); passed > 0; passed-- {
		s.release(p, s.slot(r, s.front+Seq(passed-1)<<pageShift))
	}
	s.front = to
	s.len -= uint32(n)
}

// trim gives the last page back when nothing is stored any more; ahead says that bytes lie beyond a hole.
func (s *stream) trim(p *pool, ahead bool) {
	if s.len != 0 || ahead {
		return
	}
	r := s.ring(p)
	for i := 0; s.stored > 0; i++ {
		s.release(p, &r[i])
	}
	if s.big != 0 {
		s.dropRing(p)
	}
}

func (s *stream) release(p *pool, pg *page) {
	if *pg != 0 {
		p.put(*pg)
		*pg = 0
		s.stored--
	}
}

// clear drops everything.
func (s *stream) clear(p *pool) {
	s.len = 0
	s.trim(p, false)
}
