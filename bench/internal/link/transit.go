package link

import (
	"container/heap"
	"time"
)

// transit is a packet on its way.
type transit struct {
	due   time.Duration
	order uint64 // of entering: equal times keep it
	to    Side
	bytes []byte
}

// transits are the packets on their way, the one to arrive next first.
type transits struct {
	heap  transitHeap
	count uint64
	spare [][]byte
}

// hold keeps a copy of packet until due.
func (t *transits) hold(due time.Duration, to Side, packet []byte) {
	var b []byte
	if n := len(t.spare); n > 0 {
		b, t.spare = t.spare[n-1], t.spare[:n-1]
	}
	t.count++
	heap.Push(&t.heap, transit{due, t.count, to, append(b[:0], packet...)})
}

// next returns when the next packet arrives; false: none is on its way.
func (t *transits) next() (time.Duration, bool) {
	if len(t.heap) == 0 {
		return 0, false
	}
	return t.heap[0].due, true
}

// take removes the next packet. Its bytes go back with release.
func (t *transits) take() transit { return heap.Pop(&t.heap).(transit) }

func (t *transits) release(b []byte) { t.spare = append(t.spare, b) }

// clear forgets everything on its way.
func (t *transits) clear() {
	for i := range t.heap {
		t.release(t.heap[i].bytes)
	}
	t.heap = t.heap[:0]
}

type transitHeap []transit

func (h transitHeap) Len() int { return len(h) }
func (h transitHeap) Less(i, j int) bool {
	return h[i].due < h[j].due || h[i].due == h[j].due && h[i].order < h[j].order
}
func (h transitHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *transitHeap) Push(x any)   { *h = append(*h, x.(transit)) }
func (h *transitHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	*h = (*h)[:last]
	return x
}
