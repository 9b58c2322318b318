package service

import (
	"container/list"
	"sync"
)

// handshakes are the clients that a backend waits for. There are so many at most, and the oldest makes room for the next: forged
// SYNs, which nobody ever answers, do not keep out who answers within a round trip.
type handshakes struct {
	mu   sync.Mutex
	list list.List // of Attempt, the oldest first
}

// enter notes that a's handshake begins, and rejects the oldest if there are more than most. The place goes to leave.
func (h *handshakes) enter(a Attempt, most int) *list.Element {
	h.mu.Lock()
	place := h.list.PushBack(a)
	var oldest Attempt
	if h.list.Len() > most {
		oldest = h.list.Remove(h.list.Front()).(Attempt)
	}
	h.mu.Unlock()
	if oldest != nil {
		oldest.Reject()
	}
	return place
}

// leave notes that a handshake is over. It may have made room before.
func (h *handshakes) leave(place *list.Element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list.Remove(place)
}
