package world

// budget is the memory of one end. It counts what is charged, and refuses beyond its limit.
type budget struct {
	used, limit int // limit 0: none
	refused     int
}

func (b *budget) Charge(n int) bool {
	if b.limit > 0 && b.used+n > b.limit {
		b.refused++
		return false
	}
	b.used += n
	return true
}

func (b *budget) Release(n int) { b.used -= n }

func (b *budget) Pressure() bool { return b.limit > 0 && b.used > b.limit/2 }
