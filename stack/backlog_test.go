package stack

import (
	"testing"

	"tcpd/tcp"
)

func TestBacklogStands(t *testing.T) {
	var b backlog
	at := tcp.Time(tcp.Second)
	b.read(at, 3)
	if b.standing(at.Add(standingAfter)) {
		t.Error("a burst is taken for a standing queue")
	}
	b.read(at.Add(standingAfter), batch) // full: there may be more
	b.read(at.Add(standingAfter), 0)     // somebody else is reading
	if !b.standing(at.Add(standingAfter + 1)) {
		t.Error("the queue was not found empty for too long, and does not stand")
	}
	b.read(at.Add(2*standingAfter), 1)
	if b.standing(at.Add(2 * standingAfter)) {
		t.Error("an empty queue stands")
	}
}
