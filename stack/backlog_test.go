package stack

import (
	"testing"

	"tcpd/tcp"
)

func TestBacklog(t *testing.T) {
	var b backlog
	at := tcp.Time(tcp.Second)
	want := func(standing bool, what string) {
		t.Helper()
		if b.standing(at) != standing {
			t.Errorf("%s: standing is %v", what, !standing)
		}
	}
	want(false, "nothing read yet")
	b.read(at, 3)
	at = at.Add(100 * standingAfter)
	want(false, "nothing has come for long")
	b.read(at, batch)
	want(false, "the first full read")
	at = at.Add(standingAfter + 1)
	b.read(at, 0) // somebody else is reading
	b.read(at, batch)
	want(true, "full reads for longer than a burst takes")
	b.read(at, 1)
	want(false, "found empty")
	b.read(at, batch)
	at = at.Add(standingGap + 1)
	want(false, "as many as fill a read, and then nothing for long")
	b.read(at, batch)
	want(false, "a burst after that")
}
