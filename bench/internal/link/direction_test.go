package link

import (
	"slices"
	"testing"
	"time"
)

// fates sends n packets of 1250 bytes at once and returns which arrive.
func fates(d *direction, n int) (arrived []int) {
	for i := range n {
		if _, ok := d.admit(0, 1250); ok {
			arrived = append(arrived, i)
		}
	}
	return arrived
}

func TestRateAndDelay(t *testing.T) {
	d := newDirection(Conditions{Rate: 100e6, Delay: 10 * time.Millisecond, Queue: 1 << 20}, 1, Client)
	for i := range 50 {
		want := 10*time.Millisecond + time.Duration(i+1)*100*time.Microsecond
		if due, ok := d.admit(0, 1250); !ok || due != want {
			t.Fatalf("packet %d of a burst arrives at %v (%v), want %v: 1250 bytes take 100us at 100 Mbit/s", i, due, ok, want)
		}
	}
	if due, _ := d.admit(time.Second, 1250); due != time.Second+10*time.Millisecond+100*time.Microsecond {
		t.Errorf("a packet on an idle link arrives at %v, as if something waited before it", due)
	}
}

func TestQueueDropsAtTheTail(t *testing.T) {
	d := newDirection(Conditions{Rate: 100e6, Queue: 10 * 1250}, 1, Client)
	if got := fates(&d, 15); len(got) != 10 || got[9] != 9 {
		t.Errorf("of 15 packets at once %v arrive, want the first 10, which fill the queue", got)
	}
	if _, ok := d.admit(100*time.Microsecond, 1250); !ok {
		t.Error("dropped although one packet has left the queue")
	}
	if d.counts.Overflow != 5 || d.counts.Peak != 12500 {
		t.Errorf("counted %d drops and a peak of %d bytes, want 5 and 12500", d.counts.Overflow, d.counts.Peak)
	}
}

func TestLossFollowsTheSeed(t *testing.T) {
	const n = 20_000
	arrive := func(seed uint64, from Side, queue int) []int {
		d := newDirection(Conditions{Rate: 100e6, Queue: queue, Loss: 0.03}, seed, from)
		return fates(&d, n)
	}
	one := arrive(1, Client, 1<<30)
	if share := 1 - float64(len(one))/n; share < 0.025 || share > 0.035 {
		t.Errorf("lost %.4f of the packets, want 0.03", share)
	}
	if !slices.Equal(one, arrive(1, Client, 1<<30)) {
		t.Error("the same seed lost other packets")
	}
	if slices.Equal(one, arrive(2, Client, 1<<30)) || slices.Equal(one, arrive(1, Server, 1<<30)) {
		t.Error("another seed, or the other direction, lost the same packets")
	}
}

func TestReorderingDelays(t *testing.T) {
	d := newDirection(Conditions{Rate: 100e6, Queue: 1 << 30, Reorder: 0.05, Extra: time.Millisecond}, 1, Server)
	late, last := 0, time.Duration(0)
	for range 10_000 {
		due, ok := d.admit(0, 1250)
		if !ok {
			t.Fatal("reordering lost a packet")
		}
		if due < last {
			late++
		}
		last = due
	}
	if late < 400 || late > 600 || d.counts.Delayed < uint64(late) {
		t.Errorf("%d of 10,000 packets were overtaken and %d delayed, want about 500", late, d.counts.Delayed)
	}
}
