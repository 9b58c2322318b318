package tcp

// optionSets keeps the latest sets of options in use: connections that were told the same share one, which nobody changes.
type optionSets struct {
	latest [8]optionSet
	next   int
}

type optionSet struct {
	shared *Options
	told   Options // what is in shared
}

// of returns a set equal to o.
func (s *optionSets) of(o Options) *Options {
	for i := range s.latest {
		if l := &s.latest[i]; l.shared != nil && l.told == o {
			return l.shared
		}
	}
	shared := new(Options)
	*shared = o
	s.latest[s.next%len(s.latest)] = optionSet{shared, o}
	s.next++
	return shared
}

// setOptions is how the options of a connection change.
func (t *Table) setOptions(c *Conn, o Options) { c.opts = t.sets.of(o) }
