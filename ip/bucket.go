package ip

const (
	wholeToken = 1_000_000_000 // parts, so that a rate of 1 per second is one part per nanosecond
	maxTokens  = 1_000_000_000 // of rate and burst, so that products fit 63 bits
)

// TokenBucket limits how often something is sent, such as ICMP errors. It makes a poor side channel: with a plain
// bucket an outsider who spends all tokens but one sees from the last whether somebody else took it, which tells an open port
// from a closed one (CVE-2020-25705). Here one take in four, at random, costs two tokens. The refill is a quarter faster to
// make up for it: the mean rate is as asked, and a burst never larger.
type TokenBucket struct {
	speed   int64 // parts refilled in four nanoseconds
	full    int64 // parts
	level   int64 // parts
	cost    int64 // parts that the next take costs
	last    int64 // ns
	started bool
	random  uint64
}

// NewTokenBucket returns a full bucket of burst tokens, refilled at rate per second. A burst below 1 lets nothing pass; a
// burst of 1 leaves no room for jitter. The same seed gives the same decisions.
func NewTokenBucket(rate, burst int, seed uint64) *TokenBucket {
	rate, burst = min(max(rate, 0), maxTokens), min(max(burst, 0), maxTokens)
	t := &TokenBucket{full: int64(burst) * wholeToken, random: seed, speed: 4 * int64(rate)}
	if burst > 1 {
		t.speed = 5 * int64(rate)
	}
	t.level = t.full
	t.draw()
	return t
}

// Take reports whether one more may be sent at now, in nanoseconds of any clock that does not go back, and if so counts it.
func (t *TokenBucket) Take(now int64) bool {
	t.refill(now)
	if t.full == 0 || t.level < t.cost {
		return false
	}
	t.level -= t.cost
	t.draw()
	return true
}

func (t *TokenBucket) refill(now int64) {
	if !t.started {
		t.started, t.last = true, now
	}
	elapsed := now - t.last
	if elapsed <= 0 || t.speed == 0 {
		return
	}
	t.last = now
	if elapsed >= 4*t.full/t.speed { // also keeps the product below from overflowing
		t.level = t.full
		return
	}
	t.level = min(t.full, t.level+elapsed*t.speed/4)
}

// draw decides the cost of the next take. It is not drawn again when a take fails, or whoever asks often enough would get
// all of them cheap.
func (t *TokenBucket) draw() {
	// splitmix64 (Steele, Lea, Flood, 2014)
	t.random += 0x9e3779b97f4a7c15
	z := t.random
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	t.cost = wholeToken
	if z&3 == 0 && t.full > wholeToken {
		t.cost = 2 * wholeToken
	}
}
