package ether

import "tcpd/ip"

// maxNeighbors bounds the table: who scans the link's /64 must not fill our memory (RFC 6583).
const maxNeighbors = 1024

// state is how sure we are of a neighbor's MAC (RFC 4861, section 7.3.2; ARP's neighbors are kept alike).
type state uint8

const (
	free       state = iota
	incomplete       // asked for, no answer yet
	reachable        // confirmed not long ago
	stale            // not confirmed lately; not in use
	delay            // stale and in use: about to be asked
	probe            // being asked, by unicast
)

// neighbor is an entry of the table.
type neighbor struct {
	addr      ip.Addr
	mac       MAC
	state     state
	confirmed bool // has answered us: is not evicted
	challenge bool // in probe: somebody else claims the address
	tries     uint8
	denied    uint8  // how often the first question was not sent because of the rate
	deadline  Time   // when something has to be done
	used      Time   // last sent to, or learned
	held      []byte // a frame that waits for the MAC, with room for its header; at most one
}

// table finds neighbors by address. The slots keep their order, so that what is done to all repeats.
type table struct {
	index map[ip.Addr]int
	slots []neighbor
	empty []int
}

func (t *table) find(a ip.Addr) *neighbor {
	if i, ok := t.index[a]; ok {
		return &t.slots[i]
	}
	return nil
}

// add makes an entry if there is room.
func (t *table) add(a ip.Addr) *neighbor {
	var i int
	switch n := len(t.empty); {
	case n > 0:
		i, t.empty = t.empty[n-1], t.empty[:n-1]
	case len(t.slots) < maxNeighbors:
		i, t.slots = len(t.slots), append(t.slots, neighbor{})
	default:
		return nil
	}
	t.index[a] = i
	t.slots[i] = neighbor{addr: a}
	return &t.slots[i]
}

func (t *table) remove(n *neighbor) {
	i := t.index[n.addr]
	delete(t.index, n.addr)
	t.slots[i] = neighbor{}
	t.empty = append(t.empty, i)
}

// oldest returns the least recently used neighbor that never answered, nil if all did.
func (t *table) oldest() *neighbor {
	var found *neighbor
	for i := range t.slots {
		n := &t.slots[i]
		if n.state != free && !n.confirmed && (found == nil || n.used < found.used) {
			found = n
		}
	}
	return found
}
