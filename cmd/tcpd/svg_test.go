package main

import (
	"math"
	"testing"
)

// The picture of a connection with everything that can be in it: a long pause, a burst, a retransmission, drops, SACK. Look at
// it after a change: rsvg-convert testdata/ladder.svg -o ladder.png
func TestPicture(t *testing.T) {
	established, closing := 0.0, 3065.0
	v := &connDetail{
		connView: connView{ID: "17.3", State: "FIN-WAIT-1", Service: "web", Local: "10.77.0.2:80", Peer: "10.77.0.1:51514", RTT: 10.4, RTTVar: 0.6, MinRTT: 10},
		Path:     []stepView{{State: "LISTEN"}, {State: "SYN-RECEIVED"}, {State: "ESTABLISHED", At: &established}, {State: "FIN-WAIT-1", At: &closing}},
		Recorded: 14,
		Segments: []segmentView{
			{At: 0.2, Flags: "PSH ACK", Seq: 1, Len: 120, Ack: 1, Window: 65536},
			{At: 0.4, Sent: true, Flags: "ACK", Seq: 1, Len: 1448, Ack: 121, Window: 65536},
			{At: 0.4, Sent: true, Flags: "ACK", Seq: 1449, Len: 1448, Ack: 121, Window: 65536},
			{At: 0.41, Sent: true, Flags: "PSH ACK", Seq: 2897, Len: 1448, Ack: 121, Window: 65536},
			{At: 10.5, Flags: "ACK", Seq: 121, Ack: 1449, Window: 65536},
			{At: 10.6, Flags: "ACK", Seq: 121, Ack: 1449, Window: 65536, SACK: []uint32{2897, 4345}},
			{At: 13.2, Sent: true, Flags: "ACK", Seq: 1449, Len: 1448, Ack: 121, Window: 65536, Again: true},
			{At: 23.4, Flags: "ACK", Seq: 121, Ack: 4345, Window: 65536},
			{At: 3050, Flags: "PSH ACK", Seq: 121, Len: 200, Ack: 4345, Window: 65536},
			{At: 3051, Flags: "PSH ACK", Seq: 121, Len: 200, Ack: 4345, Window: 65536, Drop: "duplicate"},
			{At: 3051.1, Sent: true, Flags: "ACK", Seq: 4345, Ack: 321, Window: 65336},
			{At: 3060, Flags: "RST", Seq: 400, Drop: "reset_inexact"},
			{At: 3060.1, Sent: true, Flags: "ACK", Seq: 4345, Ack: 321, Window: 65336},
			{At: 3065, Sent: true, Flags: "FIN ACK", Seq: 4345, Ack: 321, Window: 65536},
		},
	}
	picture := drawLadder(v)
	wantPicture(t, picture, v)
	wantGolden(t, "testdata/ladder.svg", picture)
}

// Within a piece the scale is the same everywhere, no time is out of order, and only long pauses are cut.
func TestTimeScale(t *testing.T) {
	times := []float64{5, 0, 1, 2, 3, 4, 1000, 1001, 1003}
	s := newTimeScale(times, 700)
	if len(s.pieces) != 2 || s.pieces[0].to != 5 || s.pieces[1].from != 1000 {
		t.Fatalf("the pieces are %+v, want the pause of 995 ms cut and nothing else", s.pieces)
	}
	for _, pair := range [][2]float64{{0, 1}, {3, 5}, {1000, 1003}} {
		if got, want := s.y(pair[1])-s.y(pair[0]), (pair[1]-pair[0])*s.factor; math.Abs(got-want) > 1e-6 {
			t.Errorf("from %v to %v are %v pixels, want %v", pair[0], pair[1], got, want)
		}
	}
	if got := s.y(1000) - s.y(5); got != svgBreak {
		t.Errorf("the pause takes %v pixels, want %v", got, svgBreak)
	}
	if step := s.tick(); step*s.factor < 20 || step*s.factor > 200 {
		t.Errorf("a tick of %v ms takes %v pixels", step, step*s.factor)
	}
	one := newTimeScale([]float64{7, 7}, 100)
	if y := one.y(7); y != svgTop || math.IsNaN(one.tick()) {
		t.Errorf("a single instant is at %v", y)
	}
}
