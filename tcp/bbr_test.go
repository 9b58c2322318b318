package tcp

import (
	"fmt"
	"testing"
)

// phase runs until BBR is in p.
func (b *bottleneck) phase(p Phase, most Duration) {
	b.Helper()
	if !b.until(b.now.Add(most), func() bool { return b.info().Model.Phase == p }) {
		b.Fatalf("no %v after %d ms: %+v", p, most/Millisecond, b.info().Model)
	}
}

func newBBR(t testing.TB) *bottleneck {
	t.Helper()
	b := newBottleneck(t, Options{Congestion: BBR})
	b.check = true
	return b
}

// near tells whether a is within percent of b.
func near(a, b, percent uint64) bool { return a*100 >= b*(100-percent) && a*100 <= b*(100+percent) }

// payload is what of the rate of a bottleneck is payload.
func (b *bottleneck) payload() uint64 { return uint64(b.rate) * 1448 / 1500 }

// Appendix A.1, A.3 and A.8 of the draft: the plateau ends Startup, the queue drains, and ProbeBW cruises on an empty one.
func TestBBR_phases(t *testing.T) {
	b := newBBR(t)
	b.queue = 1_000_000
	b.phase(PhaseStartup, Second)
	if i := b.info(); i.Model.PacingGain != 277 || i.Model.CwndGain != 200 {
		t.Errorf("%+v", i.Model)
	}
	b.phase(PhaseDrain, Second)
	if m := b.info().Model; !near(m.Bandwidth, b.payload(), 2) || m.PacingGain != 50 {
		t.Errorf("%+v, want within 2%% of %d bytes per second", m, b.payload())
	}
	b.phase(PhaseProbeCruise, 200*Millisecond)
	i := b.info()
	if i.Model.MinRTT < b.delay || i.Model.MinRTT > b.delay+Millisecond || i.Pipe > 300_000 {
		t.Errorf("a round trip of %d us, %d bytes in flight", i.Model.MinRTT/Microsecond, i.Pipe)
	}
	b.phase(PhaseProbeRefill, 3500*Millisecond)
	b.phase(PhaseProbeUp, 100*Millisecond)
	if g := b.info().Model; g.PacingGain != 125 || g.CwndGain != 225 {
		t.Errorf("%+v", g)
	}
	b.phase(PhaseProbeDown, 500*Millisecond)
	if b.burst > 64_000 {
		t.Errorf("%d bytes left at one instant", b.burst)
	}
}

// Appendix A.10: after five seconds without a round trip as short as the shortest the flight shrinks to half, for 200 ms. While
// there are such, it does not.
func TestBBR_probeRTT(t *testing.T) {
	b := newBBR(t)
	b.phase(PhaseProbeCruise, 2*Second)
	if b.until(b.now.Add(12*Second), func() bool { return b.info().Model.Phase == PhaseProbeRTT }) {
		t.Error("ProbeRTT asks what every acknowledgement tells")
	}
	b.phase(PhaseProbeCruise, 2*Second)
	b.delay += Millisecond
	b.phase(PhaseProbeRTT, 6*Second)
	start := b.now
	b.run(100 * Millisecond)
	if i := b.info(); i.Pipe > 130_000 || i.Model.CwndGain != 50 || i.Model.Phase != PhaseProbeRTT {
		t.Errorf("%d bytes in flight: %+v", i.Pipe, i.Model)
	}
	b.phase(PhaseProbeCruise, Second)
	if d := b.now.Sub(start); d < 200*Millisecond || d > 300*Millisecond {
		t.Errorf("ProbeRTT took %d ms", d/Millisecond)
	}
	if n := uint64(b.run(Second)); !near(n, b.payload(), 4) {
		t.Errorf("%d bytes in the second after it, of %d", n, b.payload())
	}
}

// On a path of 300 ms Startup finds its plateau when the first ProbeRTT is due: Drain does as well.
func TestBBR_plateauBeforeProbeRTT(t *testing.T) {
	b := newLongBBR(t, 1)
	b.until(b.now.Add(7*Second), func() bool {
		p := b.info().Model.Phase
		if p == PhaseProbeRTT {
			b.Fatalf("ProbeRTT while Startup sees its plateau, %d rounds", b.sender.cc.bbr.fullCount)
		}
		return p == PhaseProbeCruise
	})
	if m := b.info().Model; m.Phase != PhaseProbeCruise || m.MinRTT < b.delay {
		t.Errorf("%+v", m)
	}
}

// The send buffer is all in flight on a long path, and the application has more: that is a plateau. Startup went on for as long as
// the buffer hid it, and 61 of 100 Mbit/s were left of nine seconds.
func TestBBR_bufferBound(t *testing.T) {
	b := newBottleneckDelay(t, Options{Congestion: BBR, SendBuffer: 4 << 20, ReceiveBuffer: 6 << 20}, 300*Millisecond)
	b.queue = 937_500
	if n := b.run(9 * Second); n < 9*12_500_000*68/100 {
		t.Errorf("%d bytes in nine seconds, %+v", n, b.info().Model)
	}
}

// Who answers the SYN may be nearer than who takes the data: a model of the path to him would hold a fifth of it, for ten seconds.
func TestBBR_handshakeOfAProxy(t *testing.T) {
	b := newBBR(t)
	b.delay, b.queue = 100*Millisecond, 2_500_000
	b.run(2 * Second)
	if n, m := b.run(Second), b.info().Model; m.MinRTT < b.delay || n < 7_000_000 {
		t.Errorf("%d bytes in the third second, %+v", n, m)
	}
}

// newLongBBR is a path of 300 ms with a queue of two round trips.
func newLongBBR(t testing.TB, seed random) *bottleneck {
	b := newBottleneckDelay(t, Options{Congestion: BBR, ReceiveBuffer: 32 << 20, SendBuffer: 64 << 20}, 300*Millisecond)
	b.queue, b.dice = 7_500_000, seed
	b.receiver.rcv.limit = b.receiver.rcv.max
	return b
}

// Five thousand segments are under way and each keeps its time: no round trip is shorter than the path, and nothing that
// arrives was taken for lost. While the queue grows, repairs take longer than the time-out of when the first was lost; but what
// was sent before them still arrives.
func TestBBR_longPathWithLosses(t *testing.T) {
	for _, seed := range []random{1, 9} {
		b := newLongBBR(t, seed)
		b.loss, b.back = 100, 100
		n := b.run(9 * Second)
		if i := b.info(); i.MinRTT < b.delay || i.Timeouts > 0 || i.Undone > 0 || i.DSACKs > 5 || n < 9*12_500_000*6/10 {
			t.Errorf("seed %d: %d bytes, %+v", seed, n, i)
		}
	}
}

// Appendix A.11: an idle time is as good as ProbeRTT; and what is known of the path stays.
func TestBBR_idle(t *testing.T) {
	b := newBBR(t)
	b.phase(PhaseProbeCruise, 2*Second)
	b.rest = 0
	b.run(6 * Second)
	b.rest = 500_000
	before, dropped := b.info().Model, b.overflows
	seen := false
	b.until(b.now.Add(Second), func() bool {
		seen = seen || b.info().Model.Phase == PhaseProbeRTT
		return false
	})
	if m := b.info().Model; seen || m.Bandwidth != before.Bandwidth {
		t.Errorf("ProbeRTT %v; %+v, and before the pause %+v", seen, m, before)
	}
	if b.overflows > dropped {
		t.Errorf("%d packets were dropped after the pause", b.overflows-dropped)
	}
}

// Appendix A.7: an application that limits the rate ends neither Startup nor the search.
func TestBBR_applicationLimited(t *testing.T) {
	b := newBBR(t)
	for range 30 {
		b.rest = 20_000
		b.run(50 * Millisecond)
	}
	if m := b.info().Model; m.Phase != PhaseStartup {
		t.Errorf("%+v", m)
	}
	b.rest = -1
	b.phase(PhaseProbeCruise, 2*Second)
	if m := b.info().Model; !near(m.Bandwidth, b.payload(), 2) {
		t.Errorf("%+v", m)
	}
}

// Appendix A.14 and A.15: a path of less than a packet, which becomes much faster.
func TestBBR_narrowThenWide(t *testing.T) {
	b := newBottleneck(t, Options{Congestion: BBR})
	b.rate, b.queue, b.check = 50_000, 20_000, true
	b.run(20 * Second)
	if i := b.info(); i.Cwnd < 4*i.MSS || !near(i.Model.Bandwidth, b.payload(), 5) {
		t.Errorf("window %d, %+v", i.Cwnd, i.Model)
	}
	b.rate, b.queue = 500_000, 20_000
	b.run(30 * Second)
	if n := uint64(b.run(5 * Second)); !near(n, 5*b.payload(), 15) {
		t.Errorf("%d bytes in five seconds of %d: %+v", n, 5*b.payload(), b.info().Model)
	}
}

// Random loss is what people take BBR for: see bbr.crowded. Stalls make single round trips as long as a queue would.
func TestBBR_randomLoss(t *testing.T) {
	for _, path := range []struct {
		queue int64
		stall Duration
	}{{30_000, 0}, {250_000, 0}, {250_000, 10 * Millisecond}} {
		for _, loss := range []int64{0, 10, 100, 300} {
			t.Run(fmt.Sprint(path.queue, " ", path.stall/Millisecond, " ", loss), func(t *testing.T) {
				b := newBottleneck(t, Options{Congestion: BBR})
				b.queue, b.loss, b.stall = path.queue, loss, path.stall
				n, most := uint64(b.run(10*Second))/10, b.payload()*uint64(10_000-loss)/10_000
				i := b.info()
				t.Logf("%d kbit/s, %d of %d packets overflowed, burst %d; %+v", n/125, b.overflows, b.sent, b.burst, i.Model)
				if n < most*88/100 {
					t.Errorf("%d bytes per second, of %d that the path can deliver: %+v", n, most, i.Model)
				}
				if b.overflows > b.sent/50 {
					t.Errorf("%d of %d packets overflowed the queue", b.overflows, b.sent)
				}
			})
		}
	}
}

// TestBBR_lossBeforeTheFirstSample: losses end Startup before anything has measured the rate of the path: that nothing is known
// of it does not mean that nothing passes.
func TestBBR_lossBeforeTheFirstSample(t *testing.T) {
	w := window{mss: 1460, growth: new(growth)}
	b := &bbr{}
	w.init(BBR, w.mss, b)
	b.start(0, &w, 20*Millisecond)
	before := b.rate
	for now := Time(Second); now < Time(4*Second); now = now.Add(Second) {
		b.acked(now, &w, &acknowledged{
			delivered: 1460, recovering: true, rate: rateSample{ok: true, lost: 1460, delivered: 1460}, sampler: &sampler{},
		})
		b.restart(now, &w, 0, 0)
	}
	if b.phase == PhaseStartup {
		t.Fatalf("still in %v", b.phase)
	}
	if b.rate < before/4 {
		t.Errorf("paced with %d bytes per second, %d before", b.rate, before)
	}
}

// Between the acknowledgements of two round trips more time passes than ProbeRTT waits for, and each
// says what it would find out.
func TestBBR_roundTripBeyondProbeRTT(t *testing.T) {
	b := newBottleneckDelay(t, Options{Congestion: BBR, SendBuffer: 8 << 20, ReceiveBuffer: 8 << 20}, 12*Second)
	b.rate, b.queue = 125_000, 1_000_000
	b.receiver.rcv.limit = b.receiver.rcv.max
	if n := b.run(6 * Minute); n < 360*125_000*4/10 {
		t.Errorf("%d bytes in thirty round trips, of %d; %+v", n, 360*125_000, b.info().Model)
	}
}
