package tcp

// Cursor is a place in the list of everything a table holds; the zero value is its beginning.
type Cursor struct {
	kind refKind
	next uint32
}

// List is an application call: it looks at slots records from a cursor on, in use or not, and appends what it finds:
// connections, then half-open ones (SYN-RECEIVED) and those in TIME-WAIT, of which little is known and Generation is 0. It
// returns where to go on, and false at the end. What comes and goes between two calls may be missed, and a connection that has
// passed on to TIME-WAIT is listed as both.
func (t *Table) List(now Time, at Cursor, slots int, dst []Info) (list []Info, next Cursor, more bool) {
	at.kind = max(at.kind, refConn)
	for ; slots > 0 && at.kind <= refTimeWait; slots-- {
		if at.next >= t.slots(at.kind) {
			at = Cursor{kind: at.kind + 1}
			continue
		}
		if i, ok := t.infoAt(now, at.kind, at.next); ok {
			dst = append(dst, i)
		}
		at.next++
	}
	return dst, at, at.kind <= refTimeWait
}

// slots returns how many records of a kind there are, with those not in use.
func (t *Table) slots(k refKind) uint32 {
	switch k {
	case refConn:
		return t.conns.next
	case refHalf:
		return t.halves.next
	}
	return t.waits.records.next
}

func (t *Table) infoAt(now Time, k refKind, i uint32) (info Info, ok bool) {
	switch k {
	case refConn:
		if c := t.conn(i); c.live {
			return t.Info(now, c), true
		}
	case refHalf:
		if h := t.halves.at(i); h.live {
			return Info{
				Flow: h.flow, State: SynReceived, Timestamps: h.timestamps, SACK: h.sack, Retries: int(h.retries),
			}, true
		}
	default:
		if w := t.waits.records.at(i); w.is(waitLive) {
			return Info{Flow: w.flow, State: TimeWait, Timestamps: w.is(waitTimestamps)}, true
		}
	}
	return Info{}, false
}

// Lookup returns the live connection of a slot and generation, which Info tells, or nil.
func (t *Table) Lookup(slot, generation uint32) *Conn {
	if slot >= t.conns.next || t.generations[slot] != generation {
		return nil
	}
	if c := t.conn(slot); c.live {
		return c
	}
	return nil
}
