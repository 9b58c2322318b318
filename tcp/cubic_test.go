package tcp

import (
	"math"
	"testing"
)

// The curve in integers against equations 1 and 2 of RFC 9438 in floating point.
func TestCubic_curve(t *testing.T) {
	for _, mss := range []uint32{48, 536, 1448, 8948} {
		for _, segments := range []float64{2, 3, 7, 10, 33.3, 100, 1000, 70000} {
			before := uint32(segments * float64(mss))
			w := window{cwnd: before, mss: mss, growth: &growth{}}
			c := &w.cubic
			w.cwnd = c.reduced(0, &w)
			c.begin(Time(Second), &w)
			k := math.Cbrt(float64(before-w.cwnd) / float64(mss) / 0.4)
			if d := math.Abs(float64(c.k)/1000 - k); d > 0.002 {
				t.Errorf("mss %d, %.1f segments: K is %d ms, want %.4f s", mss, segments, c.k, k)
			}
			for at := 0.0; at < min(3*k, k+50); at += k / 7 { // cubicHorizon lies beyond
				want := (0.4*math.Pow(at-k, 3) + float64(before)/float64(mss)) * float64(mss)
				if got := float64(c.curve(int64(at*1000), mss)); math.Abs(got-want) > 0.02*float64(mss)+0.002*want {
					t.Errorf("mss %d, %.1f segments: W_cubic(%.3f s) is %.0f bytes, want %.0f", mss, segments, at, got, want)
				}
			}
		}
	}
}

// After a time-out the curve begins at the window in which congestion avoidance begins: K is zero (RFC 9438, section 4.8).
func TestCubic_afterTimeout(t *testing.T) {
	w := window{mss: 1000, growth: &growth{}}
	w.cwnd, w.ssthresh = 40_000, infiniteSsth
	lossBased{}.timeout(0, &w, true, 40_000)
	if w.cwnd != 1000 || w.ssthresh != 28_000 {
		t.Fatalf("cwnd %d, ssthresh %d", w.cwnd, w.ssthresh)
	}
	w.cwnd = w.ssthresh
	w.cubic.grow(Time(Second), &w, 1000, 100*Millisecond)
	if w.cubic.k != 0 || w.cubic.origin != 28_000 {
		t.Errorf("K is %d ms and the plateau at %d bytes, want 0 and 28000", w.cubic.k, w.cubic.origin)
	}
}
