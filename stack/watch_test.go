package stack_test

import (
	"net/netip"
	"testing"

	"tcpd/stack"
	"tcpd/tcp"
)

func TestConnID_text(t *testing.T) {
	for _, id := range []stack.ConnID{{Generation: 1}, {Place: 17, Generation: 3}, {Place: 1<<64 - 1, Generation: 1<<32 - 1}} {
		if got, err := stack.ParseConnID(id.String()); got != id || err != nil {
			t.Errorf("%v reads %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "17", "17.", ".3", "17.0", "a.b", "-1.1", "1.4294967296", "1.2.3"} {
		if id, err := stack.ParseConnID(s); err == nil {
			t.Errorf("%q reads %v", s, id)
		}
	}
}

// TestConns: every connection is listed once, over all shards, and found by its name with its last segments.
func TestConns(t *testing.T) {
	p := newPair(t, 3, func(c *stack.Config) { c.Recorder = true })
	l := p.listen(":80", stack.ListenOptions{})
	held := p.listen(":81", stack.ListenOptions{Hold: true})
	want := map[string]*stack.Conn{}
	for i := range 150 { // more than a page
		c := p.dial(map[bool]string{true: "10.77.0.2:80", false: "[fd77::2]:80"}[i%2 == 0])
		s := accept(t, l)
		mustWrite(t, c, "hello")
		mustRead(t, s, "hello")
		want[s.RemoteAddr().String()] = s
	}
	go func() { _, _ = p.client.Dial("tcp", "10.77.0.2:81") }()
	attempt, err := held.NextAttempt()
	if err != nil {
		t.Fatal(err)
	}
	seen, halves := map[string]stack.ConnID{}, 0
	for i := range p.server.Conns() {
		remote := netip.AddrPortFrom(i.Flow.Remote.Netip(), i.Flow.RemotePort).String()
		if i.State == tcp.SynReceived {
			halves++
			continue
		}
		if _, twice := seen[remote]; twice || want[remote] == nil || i.State != tcp.Established || i.BytesReceived != 5 {
			t.Errorf("%v is listed as %v with %d bytes, twice %v", remote, i.State, i.BytesReceived, twice)
		}
		seen[remote] = i.ID
	}
	if len(seen) != 150 || halves != 1 {
		t.Fatalf("%d connections and %d half-open ones are listed, want 150 and 1", len(seen), halves)
	}
	attempt.Reject()
	for range p.server.Conns() {
		break // nobody is held up by a list that is not read to its end
	}
	for remote, id := range seen {
		d, ok := p.server.Conn(id)
		if !ok || d.ID != id || netip.AddrPortFrom(d.Flow.Remote.Netip(), d.Flow.RemotePort).String() != remote {
			t.Fatalf("%v is found as %v, %v", id, d.Flow, ok)
		}
		if !d.Recorded || len(d.Record.Segments) == 0 || d.Record.Segments[0].Len != 5 || d.Record.Segments[0].At < d.Born {
			t.Fatalf("of %v is recorded %+v", remote, d.Record)
		}
		_ = want[remote].SetLinger(0)
		_ = want[remote].Close()
		if _, ok := p.server.Conn(id); ok {
			t.Fatalf("%v is found after its reset", id)
		}
	}
	if _, ok := p.server.Conn(stack.ConnID{Place: 1 << 60, Generation: 1}); ok {
		t.Error("a place that cannot be is found")
	}
}

func TestSetRecorder(t *testing.T) {
	p := newPair(t, 1)
	recorded := func(port string) bool {
		c, s := p.connect("10.77.0.2:" + port)
		mustWrite(t, c, "hello")
		mustRead(t, s, "hello")
		for i := range p.server.Conns() {
			if d, ok := p.server.Conn(i.ID); ok && s.RemoteAddr().(interface{ AddrPort() netip.AddrPort }).AddrPort().Port() == d.Flow.RemotePort {
				return d.Recorded
			}
		}
		t.Fatal("the connection is not listed")
		return false
	}
	if recorded("81") {
		t.Error("recorded though nobody asked for it")
	}
	p.server.SetRecorder(true)
	if !recorded("82") {
		t.Error("not recorded with the recorder on")
	}
	p.server.SetLimits(stack.Limits{Memory: 64 << 20})
	if !recorded("83") {
		t.Error("not recorded after a change of the limits")
	}
	p.server.SetRecorder(false)
	if recorded("84") {
		t.Error("recorded with the recorder off")
	}
}
