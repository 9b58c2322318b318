package stack

import (
	"testing"
	"time"

	"tcpd/ip"
	"tcpd/tcp"
)

// loads are what a governor is shown in the tests below: one of two processors is full at 50 ms of processor time.
func bulkOf(flows int, gigabits float64) load {
	bytes := uint64(gigabits / 8 * 1e9 * governEvery.Seconds())
	return load{elapsed: governEvery, processor: governEvery, packets: bytes / (30 << 10), bytes: bytes, flows: flows}
}

func steps(g *governor, n int, l load) (wide int) {
	for range n {
		if g.step(l) == g.all {
			wide++
		}
	}
	return wide
}

func TestGovernor_widens(t *testing.T) {
	small, idle := bulkOf(64, 40), bulkOf(64, 40)
	small.packets = small.bytes / 400
	idle.processor = governEvery / 2
	for _, tt := range []struct {
		what string
		load load
		want bool
	}{
		{"many bulk flows that fill it", bulkOf(64, 40), true},
		{"few flows, beside which somebody may wait", bulkOf(8, 40), false},
		{"small messages", small, false},
		{"time to spare", idle, false},
		{"nothing", load{elapsed: governEvery}, false},
	} {
		g := governor{narrow: 1, all: 2}
		if got := steps(&g, fullLoads, tt.load) > 0; got != tt.want {
			t.Errorf("%s: wide is %v, want %v", tt.what, got, tt.want)
		}
	}
	if only := (governor{narrow: 1, all: 1}); steps(&only, 100, bulkOf(64, 40)) != 100 || only.wide {
		t.Error("a single processor was divided")
	}
}

// What pays stays as long as there is reason; after that half of the processors do.
func TestGovernor_pays(t *testing.T) {
	g := governor{narrow: 1, all: 2}
	steps(&g, fullLoads, bulkOf(64, 40))
	if n := steps(&g, 1000, bulkOf(64, 43)); n != 1000 {
		t.Errorf("wide %d times of 1000, want always: 43 is more than 5%% above 40", n)
	}
	if n := steps(&g, quietLoads, load{elapsed: governEvery}); n != quietLoads-1 || g.awake() {
		t.Errorf("wide for %d loads without reason, awake %v; want %d and asleep", n, g.awake(), quietLoads-1)
	}
	if steps(&g, fullLoads, bulkOf(64, 40)) != 1 {
		t.Error("not wide again at once, though it has paid before")
	}
}

// What has paid is compared again, some time later, with what half of the processors do then.
func TestGovernor_comparesAgain(t *testing.T) {
	g := governor{narrow: 1, all: 2}
	steps(&g, fullLoads, bulkOf(64, 10)) // a bad moment
	if n := steps(&g, trialLoads+1+againLoads, bulkOf(64, 40)); n != trialLoads+againLoads || g.wide {
		t.Fatalf("wide for %d loads, now %v; want %d and a new comparison", n, g.wide, trialLoads+againLoads)
	}
	steps(&g, fullLoads, bulkOf(64, 40))
	if n := steps(&g, firstPause, bulkOf(64, 40)); n != trialLoads {
		t.Errorf("wide for %d loads of %d, want the trial's %d: 40 is not more than 40", n, firstPause, trialLoads)
	}
}

// A trial during which the load ends tells nothing, and the time asleep counts for a pause.
func TestGovernor_endOfLoad(t *testing.T) {
	g := governor{narrow: 1, all: 2}
	steps(&g, fullLoads, bulkOf(64, 40))
	if g.step(load{elapsed: governEvery}) != 1 || g.pause != 0 || g.backoff != 0 {
		t.Errorf("after a trial cut short: %+v", g)
	}
	g.pause, g.backoff = lastPause, lastPause
	g.woke(lastPause * governEvery)
	if steps(&g, fullLoads, bulkOf(64, 40)) != 1 {
		t.Errorf("a pause that was slept through is not over: %+v", g)
	}
}

// What does not pay is tried more and more rarely.
func TestGovernor_doesNotPay(t *testing.T) {
	g := governor{narrow: 1, all: 2}
	var tried []int
	for i := range 10_000 {
		if before := g.wide; g.step(bulkOf(64, 40)) == 2 && !before {
			tried = append(tried, i)
		}
	}
	if len(tried) < 5 || tried[1]-tried[0] != trialLoads+1+firstPause {
		t.Fatalf("tried at %v", tried)
	}
	for i := 2; i < len(tried); i++ {
		was, is := tried[i-1]-tried[i-2], tried[i]-tried[i-1]
		if is < was || is > lastPause+trialLoads+1 {
			t.Errorf("tried at %v: %d loads after %d", tried, is, was)
		}
	}
}

func TestLoad(t *testing.T) {
	at := time.Now()
	before := usage{at: at, processor: time.Second, packets: 10, bytes: 1000}
	got := usage{at: at.Add(time.Second), processor: 1500 * time.Millisecond, packets: 12, bytes: 3000, marks: 1<<63 | 1}.since(before)
	if want := (load{time.Second, 500 * time.Millisecond, 2, 2000, 2}); got != want || got.rate() != 2000 {
		t.Errorf("load is %+v at %v bytes a second, want %+v", got, got.rate(), want)
	}
}

// The estimate is good enough to tell few flows from many: of one host with ports one after the other, as its kernel gives them,
// and of many hosts.
func TestFlowSketch(t *testing.T) {
	hash := newHasher([16]byte{1})
	for _, n := range []int{0, 1, 4, 8, 16, 32, 64} {
		for what, flow := range map[string]func(i int) tcp.Flow{
			"ports": func(i int) tcp.Flow { return tcp.Flow{RemotePort: uint16(33000 + 2*i)} },
			"hosts": func(i int) tcp.Flow { return tcp.Flow{Remote: ip.Addr{12: 10, 15: byte(i)}, RemotePort: 5001} },
		} {
			var s flowSketch
			for range 3 {
				for i := range n {
					f := flow(i)
					s.see(hash.flow(&f))
				}
			}
			if got := flowsOf(s.take()); got < n*3/4 || got > n*3/2 {
				t.Errorf("%d flows by %s: the estimate is %d", n, what, got)
			}
			if left := s.take(); left != 0 {
				t.Errorf("marks %x are left", left)
			}
		}
	}
}
