package tcp

import "testing"

// freePages against a set, and what it is for: pages taken in one go are neighbours after any history.
func TestFreePages_againstASet(t *testing.T) {
	for seed := range 20 {
		r := random(seed)
		var f freePages
		f.grow()
		f.grow()
		var taken []page
		is := map[page]bool{}
		for range 20_000 {
			if r.below(100) < 52 {
				pg, ok := f.take()
				if ok != (len(taken) < 2*slabPages) || ok && (is[pg] || pg == 0 || pg > 2*slabPages) {
					t.Fatalf("seed %d: page %d, %v, with %d taken", seed, pg, ok, len(taken))
				}
				if ok {
					taken, is[pg] = append(taken, pg), true
				}
			} else if n := len(taken); n > 0 {
				i := r.below(int64(n))
				f.give(taken[i])
				is[taken[i]] = false
				taken[i] = taken[n-1]
				taken = taken[:n-1]
			}
		}
		for _, pg := range taken {
			f.give(pg)
		}
		gaps, before := 0, page(0)
		for i := range 2 * slabPages {
			pg, ok := f.take()
			if !ok {
				t.Fatalf("seed %d: %d pages are left of %d", seed, i, 2*slabPages)
			}
			if pg != before+1 {
				gaps++
			}
			before = pg
		}
		if gaps > 2*slabPages/unitPages+1 {
			t.Errorf("seed %d: %d gaps in %d pages", seed, gaps, 2*slabPages)
		}
	}
}
