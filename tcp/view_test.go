package tcp

import (
	"slices"
	"testing"

	"tcpd/ip"
)

// A view reads what was written, in both families.
func TestView_readsWhatIsSent(t *testing.T) {
	for _, f := range []Flow{flow4, flow6} {
		p := newPair(t)
		var seen []View
		p.drop = func(_ int, pk *ip.Packet) bool {
			var v View
			if d := v.Parse(pk); d != DropNone {
				t.Fatal(d)
			}
			v.Payload = slices.Clone(v.Payload)
			seen = append(seen, v)
			return false
		}
		c, _ := p.open(f)
		p.ends[0].Write(p.now, c, []byte("hello"))
		p.step()
		p.step()
		syn, synAck, data := seen[0], seen[1], seen[slices.IndexFunc(seen, func(v View) bool { return len(v.Payload) > 0 })]
		if syn.Flags != SYN || syn.MSS == 0 || syn.WindowScale < 0 || !syn.SACKPermitted || !syn.HasTimestamps || syn.End() != syn.Seq+1 {
			t.Errorf("%v: the SYN reads %+v", f, syn)
		}
		if syn.Flow.Local != f.Remote || syn.Flow.LocalPort != 80 || syn.Flow.RemotePort != c.flow.LocalPort {
			t.Errorf("%v: the SYN's ends read %v", f, syn.Flow)
		}
		if synAck.Flags != SYN|ACK || synAck.Ack != syn.Seq+1 {
			t.Errorf("%v: the SYN-ACK reads %+v", f, synAck)
		}
		if string(data.Payload) != "hello" || data.WindowScale != -1 || data.MSS != 0 || data.End() != data.Seq+5 {
			t.Errorf("%v: the data reads %+v", f, data)
		}
	}
}

func TestView_readsSACK(t *testing.T) {
	r := newRig(t, flow4, true)
	r.build(flow4, ACK, 1, 1, r.stamp(true), 10)
	var v View
	for _, at := range []Seq{100, 200} {
		r.put(at, r.conn.snd.nxt)
		r.table.Arrive(r.now, &r.packet)
		if !r.table.Poll(r.now, &r.out) {
			t.Fatal("disorder is not acknowledged")
		}
		b, o := flatten(&r.out)
		var p ip.Packet
		p.Parse(b, o)
		v.Parse(&p)
	}
	want := []Range{{200, 210}, {100, 110}}
	if !slices.Equal(v.SACK, want) {
		t.Errorf("SACK reads %v, want %v: the latest first", v.SACK, want)
	}
	slices.Reverse(want)
	if got := r.table.OutOfOrder(r.conn); !slices.Equal(got, want) {
		t.Errorf("out of order: %v, want %v", got, want)
	}
}
