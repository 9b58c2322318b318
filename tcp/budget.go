package tcp

// Budget is a Memory that tells how large it is. What Options leave to the table follows it then, and when it is nearly
// exhausted the table opens no connection and ends those that matter least; see reclaim.
type Budget interface {
	Memory
	Limit() int      // bytes
	Exhausted() bool // less than a twentieth is left
}

const (
	// bufferShare is the part of the budget that one buffer may take: who has a long path fills it, eight of them together press.
	bufferShare = 8
	// largestBuffer is what windows with a scale of 10 reach: 300 ms at 1.7 Gbit/s.
	largestBuffer = 65535 << 10
	// smallestBuffer is what a small budget leaves.
	smallestBuffer = 64 << 10
)

// largest returns how far a buffer may grow that nobody has bounded; usual is its bound when the budget does not tell.
func (t *Table) largest(usual int) int {
	if t.budget == nil {
		return usual
	}
	return min(max(t.budget.Limit()/bufferShare, smallestBuffer), largestBuffer)
}

// complete fills in what o leaves to the table.
func (t *Table) complete(o Options) Options {
	o.ReceiveBuffer = orDefault(o.ReceiveBuffer, t.largest(defaultReceiveBuffer))
	o.SendBuffer = orDefault(o.SendBuffer, t.largest(defaultSendBuffer))
	return o.withDefaults()
}

func (t *Table) exhausted() bool { return t.budget != nil && t.budget.Exhausted() }
