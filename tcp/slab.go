package tcp

const slabRecords = 256

// slab keeps records of one kind in chunks: a record stays where it is, and is found by a small number.
type slab[T any] struct {
	chunks []*[slabRecords]T
	free   []uint32
	next   uint32
}

func (s *slab[T]) at(i uint32) *T { return &s.chunks[i/slabRecords][i%slabRecords] }

// get returns the number of a record that is not in use.
func (s *slab[T]) get() uint32 {
	if n := len(s.free); n > 0 {
		i := s.free[n-1]
		s.free = s.free[:n-1]
		return i
	}
	if int(s.next) == len(s.chunks)*slabRecords {
		s.chunks = append(s.chunks, new([slabRecords]T))
	}
	s.next++
	return s.next - 1
}

func (s *slab[T]) put(i uint32) { s.free = append(s.free, i) }

// fifo is a queue in a ring.
type fifo[T any] struct {
	ring []T
	head int
	n    int
}

func (q *fifo[T]) push(v T) {
	if q.n == len(q.ring) {
		ring := make([]T, max(16, 2*q.n))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = v
	q.n++
}

func (q *fifo[T]) pop() (v T, ok bool) {
	if q.n == 0 {
		return v, false
	}
	v = q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return v, true
}

// lastFirst puts the last of those that wait before the others.
func (q *fifo[T]) lastFirst() {
	last := q.ring[(q.head+q.n-1)&(len(q.ring)-1)]
	q.head = (q.head - 1) & (len(q.ring) - 1)
	q.ring[q.head] = last
}

func (q *fifo[T]) front() (v T, ok bool) {
	if q.n == 0 {
		return v, false
	}
	return q.ring[q.head], true
}
