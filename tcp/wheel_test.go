package tcp

import (
	"slices"
	"testing"
)

// The wheel against a plain list: entries come out in the tick their time falls into, never early, never late.
func TestWheel_againstAList(t *testing.T) {
	spans := []int64{1, 1 << 16, 1 << 20, 1 << 26, 1 << 32, 1 << 38, 1 << 44, 1 << 50, 1 << 54}
	for seed := range 20 {
		r := random(seed)
		var w wheel
		now := Time(r.below(1 << 50))
		if seed%4 == 0 {
			now = Time(1<<(36+tickShift) - 1 - r.below(1<<30)) // before the wheel's horizon
		}
		w.advance(now, nil)
		model := make(map[uint32]Time)
		for range 3000 {
			id := uint32(r.below(50))
			switch r.below(4) {
			case 0, 1:
				at := now.Add(Duration(r.below(spans[r.below(int64(len(spans)))])) - 5)
				w.schedule(id, at)
				model[id] = at
			case 2:
				w.cancel(id)
				delete(model, id)
			case 3:
				now = advanceBoth(t, seed, &w, model, now, Time(r.below(spans[r.below(int64(len(spans)))])))
			}
			c := checker{t: &Table{}}
			if c.wheelEntries(&w, "the test"); c.err != nil {
				t.Fatalf("seed %d: %v", seed, c.err)
			}
			if (w.next() == Never) != (len(model) == 0) {
				t.Fatalf("seed %d: next %d with %d entries", seed, w.next(), len(model))
			}
			for id, at := range model {
				if late := w.next().Sub(max(at, now)); late > 2<<tickShift {
					t.Fatalf("seed %d: entry %d would be woken %d ns late", seed, id, late)
				}
			}
		}
	}
}

func advanceBoth(t *testing.T, seed int, w *wheel, model map[uint32]Time, now, by Time) Time {
	t.Helper()
	now += by
	due := w.advance(now, nil)
	for _, id := range due {
		at, ok := model[id]
		if !ok || at > now {
			t.Fatalf("seed %d: entry %d came out at %d, scheduled %d (%v)", seed, id, now, at, ok)
		}
		delete(model, id)
	}
	for id, at := range model {
		if now.Sub(at) > 2<<tickShift {
			t.Fatalf("seed %d: entry %d of %d did not come out at %d", seed, id, at, now)
		}
	}
	if slices.Sort(due); len(slices.Compact(due)) != len(due) {
		t.Fatalf("seed %d: an entry came out twice: %v", seed, due)
	}
	return now
}

// The wheel wraps after 52 days; a timer of a second set just before must not wait for 52 more.
func TestWheel_acrossItsHorizon(t *testing.T) {
	for days := range 3 {
		var w wheel
		edge := Time(days+1) << (36 + tickShift)
		now := edge - Time(Second)/2
		w.advance(now, nil)
		w.schedule(7, now.Add(Second))
		for n := 0; ; n++ {
			if n > 100 {
				t.Fatal("it never comes out")
			}
			next := w.next()
			if next > now.Add(Second+Millisecond) {
				t.Fatalf("wakes after %d s", next.Sub(now)/Second)
			}
			if due := w.advance(next, nil); len(due) == 1 {
				break
			}
		}
	}
}
