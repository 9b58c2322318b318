package machine

import (
	"os"
	"testing"
	"time"
)

func TestSumTicks(t *testing.T) {
	const line = "cpu  100 20 3 4000 50 6 7 0 0 0"
	for _, c := range []struct {
		first, n int
		want     time.Duration
	}{{1, 3, 1230 * time.Millisecond}, {4, 2, 40500 * time.Millisecond}, {6, 2, 130 * time.Millisecond}} {
		if got, err := sumTicks(line, c.first, c.n); got != c.want || err != nil {
			t.Errorf("%d fields from %d: %v, %v; want %v", c.n, c.first, got, err, c.want)
		}
	}
	if _, err := sumTicks("cpu 1 2", 1, 3); err == nil {
		t.Error("a line that is too short has a sum")
	}
}

func TestShares(t *testing.T) {
	start := time.Now()
	before := Usage{at: start}
	after := Usage{
		at: start.Add(2 * time.Second), busy: 3 * time.Second, all: 2500 * time.Millisecond,
		ours: 1200 * time.Millisecond, unused: time.Second,
	}
	if got := after.Others(before, 300*time.Millisecond); got != 0.5 {
		t.Errorf("others used %v processors, want 0.5: 2.5 s less 1.2 s and 0.3 s of ours in 2 s", got)
	}
	if got := after.Others(before, 2*time.Second); got != 0 {
		t.Errorf("others used %v processors: clocks that differ must not make it less than none", got)
	}
	if got := after.Idle(before); got != 0.5 {
		t.Errorf("%v processors were idle, want 0.5", got)
	}
	if got := after.Busy(before); got != 3*time.Second {
		t.Errorf("busy for %v, want 3s", got)
	}
}

func TestMeasure(t *testing.T) {
	if _, err := Measure(os.Getpid()); err != nil {
		t.Error(err)
	}
	if _, err := Measure(1 << 30); err == nil {
		t.Error("a process that does not exist has used something")
	}
}
