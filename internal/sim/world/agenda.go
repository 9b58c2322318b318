package world

import "tcpd/tcp"

// item is something that happens at a time. Items of one time happen in the order in which they were put down.
type item struct {
	at    tcp.Time
	order uint64
	kind  itemKind
	index int32 // of a packet, an application, an end ...
	datum uint64
}

type itemKind uint8

const (
	itemPacket   itemKind = iota // packet index arrives
	itemTurn                     // application index has its turn
	itemOpen                     // connection index is opened
	itemAccept                   // end index accepts what waits
	itemDecide                   // end index decides on the attempt in datum
	itemUnlisten                 // end index stops listening
	itemListen                   // end index listens again
	itemMTU                      // the MTU at end index changes
	itemLook                     // somebody looks whether everything moves
)

// agenda is a binary heap of what is to happen.
type agenda struct {
	heap  []item
	order uint64
}

func before(a, b *item) bool { return a.at < b.at || a.at == b.at && a.order < b.order }

func (g *agenda) add(x item) {
	x.order = g.order
	g.order++
	g.heap = append(g.heap, x)
	h := g.heap
	for i := len(h) - 1; i > 0; {
		up := (i - 1) / 2
		if before(&h[up], &h[i]) {
			return
		}
		h[up], h[i] = h[i], h[up]
		i = up
	}
}

// next returns when the first item is due; tcp.Never when there is none.
func (g *agenda) next() tcp.Time {
	if len(g.heap) == 0 {
		return tcp.Never
	}
	return g.heap[0].at
}

func (g *agenda) take() item {
	h := g.heap
	x, last := h[0], len(h)-1
	h[0] = h[last]
	g.heap = h[:last]
	h = g.heap
	for i := 0; ; {
		down := 2*i + 1
		if down >= last {
			return x
		}
		if down+1 < last && before(&h[down+1], &h[down]) {
			down++
		}
		if before(&h[i], &h[down]) {
			return x
		}
		h[i], h[down] = h[down], h[i]
		i = down
	}
}
