package tcp

import "unsafe"

// growth is what CUBIC, Reno and HyStart++ remember, and for how long what held a stream back. Most connections never use as
// much of their window as would make it grow, and never lose anything: they share one that is empty, Table.fresh, until the
// first acknowledgement or loss that counts.
type growth struct {
	reno    reno
	cubic   cubic
	hystart hystart

	limitSpent [numLimits]Duration // of limits that few connections meet; see limits

	index   uint32 // in its slab
	charged bool
}

const growthSize = int(unsafe.Sizeof(growth{}))

// remembers gives c a record of its own, before congestion control writes there. A refusal of the budget does not hinder it:
// the window must not depend on it.
func (t *Table) remembers(c *Conn) {
	if c.cc.growth != &t.fresh {
		return
	}
	i := t.growths.get()
	g := t.growths.at(i)
	*g = growth{index: i, charged: t.cfg.Memory.Charge(growthSize)}
	if g.charged {
		t.nGrowths++
	}
	c.cc.growth = g
}

// forgets takes the record of c away.
func (t *Table) forgets(c *Conn) {
	g := c.cc.growth
	if g == &t.fresh {
		return
	}
	if g.charged {
		t.nGrowths--
		t.cfg.Memory.Release(growthSize)
	}
	c.cc.growth = &t.fresh
	t.growths.put(g.index)
}

// grows tells whether the window was in use, so that an acknowledgement that found so much under way makes it grow.
func (w *window) grows(flight int) bool {
	return w.limited || max(w.usage.pipeAck(), flight) >= int(w.cwnd)/2
}
