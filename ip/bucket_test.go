package ip

import "testing"

func take(b *TokenBucket, now int64) (n int) {
	for b.Take(now) {
		n++
	}
	return n
}

func TestAttack_C04_burst(t *testing.T) {
	// With jitter a burst is never larger than asked for, nor smaller than half, and varies too much to tell by one token
	// whether somebody else took one.
	seen := map[int]int{}
	sum := 0
	const n = 10000
	for seed := range uint64(n) {
		got := take(NewTokenBucket(1000, 50, seed), 0)
		if got > 50 || got < 25 {
			t.Fatalf("seed %d: a burst of %d, want 25 to 50", seed, got)
		}
		seen[got]++
		sum += got
	}
	if mean := float64(sum) / n; mean < 39 || mean > 41 {
		t.Errorf("mean burst %v, want about 40", mean)
	}
	for size, count := range seen {
		if count > n/4 {
			t.Errorf("%d of %d bursts are of %d: too predictable", count, n, size)
		}
	}
}

func TestAttack_C04_rate(t *testing.T) {
	for _, c := range []struct{ rate, burst int }{{1000, 50}, {10, 5}, {1, 1}, {1_000_000, 1000}, {7, 2}} {
		for _, step := range []int64{10_007, 333_333, 1_000_001, 20_000_000} {
			b := NewTokenBucket(c.rate, c.burst, 5)
			take(b, 0)
			got := 0
			const span = 20 * second
			for now := int64(step); now <= span; now += step {
				if b.Take(now) {
					got++
				}
			}
			// What is asked for no more often than every step cannot come faster.
			want := min(float64(c.rate)*20, float64(span/step))
			if float64(got) > want*1.05+float64(c.burst) || float64(got) < want*0.75-float64(c.burst) {
				t.Errorf("rate %d, burst %d, asked every %d ns: %d in 20 s, want about %v", c.rate, c.burst, step, got, want)
			}
		}
	}
}

func TestTokenBucket_longSilence(t *testing.T) {
	b := NewTokenBucket(1<<40, 1<<40, 1) // more than it can count
	if !b.Take(0) || !b.Take(1<<62) {
		t.Error("a large bucket is empty")
	}
	b = NewTokenBucket(1000, 50, 1)
	take(b, 0)
	if got := take(b, 1<<62); got > 50 || got < 25 {
		t.Errorf("%d after 146 years, want a burst of up to 50", got)
	}
	if b.Take(0) {
		t.Error("a clock that goes back yields tokens")
	}
}

func TestTokenBucket_nothing(t *testing.T) {
	for _, burst := range []int{0, -1} {
		b := NewTokenBucket(1000, burst, 1)
		if b.Take(0) || b.Take(second) {
			t.Errorf("burst %d lets something pass", burst)
		}
	}
	b := NewTokenBucket(0, 3, 1)
	if n := take(b, 0); n == 0 || n > 3 {
		t.Errorf("%d out of a bucket of 3", n)
	}
	if b.Take(1 << 62) {
		t.Error("rate 0 refills")
	}
}

func TestTokenBucket_sameSeedSameDecisions(t *testing.T) {
	a, b := NewTokenBucket(1000, 50, 9), NewTokenBucket(1000, 50, 9)
	for now := int64(0); now < second; now += 100_000 {
		if a.Take(now) != b.Take(now) {
			t.Fatalf("they differ at %d ns", now)
		}
	}
}

func BenchmarkTokenBucket(b *testing.B) {
	bucket := NewTokenBucket(1000, 50, 1)
	for now := int64(0); b.Loop(); now += 1000 {
		bucket.Take(now)
	}
}
