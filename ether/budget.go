package ether

// Questions for neighbors are limited to this rate for all of them together: packets to many addresses must not become a storm of
// broadcasts (RFC 6583, section 7.1).
const (
	solicitRate  = 500 // per second
	solicitBurst = maxNeighbors

	solicitCost = second / solicitRate
	budgetFull  = solicitBurst * solicitCost
)

// budget is what may be asked now, in time: a question costs as much as it takes until there may be another one. It is not one of
// ip.TokenBucket, which hides from outsiders what others have used up: who can tell that here is on the link, and hears the questions.
type budget struct {
	saved Time
	last  Time
}

// first pays for the first question for a neighbor, if there is enough.
func (b *budget) first(now Time) bool {
	b.save(now)
	return b.pay()
}

// again pays for one more question. These get what first ones leave: for every address to which packets are forged there are two
// of them, and nobody answers any.
func (b *budget) again(now Time) bool {
	b.save(now)
	return b.saved > budgetFull/2 && b.pay()
}

func (b *budget) save(now Time) {
	if elapsed := now - b.last; elapsed > 0 {
		b.saved, b.last = min(budgetFull, b.saved+min(elapsed, budgetFull)), now
	}
}

func (b *budget) pay() bool {
	if b.saved < solicitCost {
		return false
	}
	b.saved -= solicitCost
	return true
}
