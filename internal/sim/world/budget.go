package world

// budget is the memory of one end. It counts what is charged, and refuses beyond its limit.
type budget struct {
	used, limit int // limit 0: none
	refused     int
	fickle      float64 // it refuses with this probability, whatever there is
	chaos       dice
}

func (b *budget) Charge(n int) bool {
	if b.limit > 0 && b.used+n > b.limit || b.fickle > 0 && b.chaos.chance(b.fickle) {
		b.refused++
		return false
	}
	b.used += n
	return true
}

// scarce: a refusal is in order.
func (b *budget) scarce() bool { return b.limit > 0 || b.fickle > 0 }

func (b *budget) Release(n int) { b.used -= n }

func (b *budget) Pressure() bool { return b.limit > 0 && b.used > b.limit/2 }
