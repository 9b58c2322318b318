package stack

import (
	"fmt"
	"iter"
	"strconv"
	"strings"

	"tcpd/tcp"
)

// ConnID names a connection of a stack: the place of its record, and how many connections have had that place. No two
// connections of a stack have the same name before one place has seen 2^32 of them. The zero value names none.
type ConnID struct {
	Place      uint64
	Generation uint32
}

// String returns the name as ParseConnID takes it, such as 17.3.
func (id ConnID) String() string { return fmt.Sprintf("%d.%d", id.Place, id.Generation) }

// ParseConnID reads a name that ConnID.String wrote.
func ParseConnID(s string) (ConnID, error) {
	place, generation, ok := strings.Cut(s, ".")
	p, err := strconv.ParseUint(place, 10, 64)
	g, err2 := strconv.ParseUint(generation, 10, 32)
	if !ok || err != nil || err2 != nil || g == 0 {
		return ConnID{}, fmt.Errorf("%q is no name of a connection: they look like 17.3", s)
	}
	return ConnID{p, uint32(g)}, nil
}

// ConnInfo is what is known of one connection. Of a half-open one and one in TIME-WAIT it is little, and the name is zero.
type ConnInfo struct {
	ID ConnID
	tcp.Info
}

// ConnDetail is everything that is known of one connection.
type ConnDetail struct {
	ConnInfo
	Options    tcp.Options
	OutOfOrder []tcp.Range // relative to the first byte, which is 1
	Recorded   bool        // Record holds something
	Record     tcp.Record
	Born       tcp.Time // on the clock of Record
}

// listPage is how many records are looked at without giving the shard's lock up: some 30 us.
const listPage = 64

// Conns yields all connections, half-open ones and those in TIME-WAIT. It looks at a few at a time and holds no lock while it
// yields, so that nobody waits for a long list; what comes and goes meanwhile may be missed.
func (s *Stack) Conns() iter.Seq[ConnInfo] {
	return func(yield func(ConnInfo) bool) {
		var page []tcp.Info
		for _, sh := range s.shards {
			at, more := tcp.Cursor{}, true
			for more {
				now := sh.lock()
				page, at, more = sh.table.List(now, at, listPage, page[:0])
				sh.leave(now)
				for i := range page {
					if !yield(ConnInfo{sh.name(&page[i]), page[i]}) {
						return
					}
				}
			}
		}
	}
}

// name returns the name of a connection, zero for a record that is not a whole one.
func (sh *shard) name(i *tcp.Info) ConnID {
	if i.Generation == 0 {
		return ConnID{}
	}
	return ConnID{uint64(i.Slot)*uint64(len(sh.stack.shards)) + uint64(sh.index), i.Generation}
}

// Conn returns everything about the connection of a name, and false when there is none any more.
func (s *Stack) Conn(id ConnID) (ConnDetail, bool) {
	n := uint64(len(s.shards))
	if id.Generation == 0 || id.Place/n > 1<<32-1 {
		return ConnDetail{}, false
	}
	sh := s.shards[id.Place%n]
	now := sh.lock()
	defer sh.leave(now)
	c := sh.table.Lookup(uint32(id.Place/n), id.Generation)
	if c == nil {
		return ConnDetail{}, false
	}
	d := ConnDetail{
		ConnInfo: ConnInfo{id, sh.table.Info(now, c)}, Options: sh.table.Options(c), OutOfOrder: sh.table.OutOfOrder(c),
	}
	d.Born = now.Add(-d.Age)
	d.Record, d.Recorded = sh.table.Record(c)
	return d, true
}

// recorderShare is the part of the memory budget that recorders may take, as a divisor.
const recorderShare = 8

// recorders returns how many connections of one of n shards may have a recorder.
func recorders(on bool, memory int64, n int) int {
	if !on {
		return 0
	}
	return share(int(memory/recorderShare/int64(tcp.RecorderSize)), n)
}

// SetRecorder tells whether connections to come keep their last segments for Conn; those that do go on holding what they have.
// Recorders take an eighth of the memory limit at most; with more connections than that they change hands.
func (s *Stack) SetRecorder(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recorder = on
	s.setRecorders()
}

// setRecorders tells the tables.
func (s *Stack) setRecorders() {
	for _, sh := range s.shards {
		sh.mu.Lock()
		sh.table.SetRecorders(recorders(s.recorder, s.memory.limit.Load(), len(s.shards)))
		sh.mu.Unlock()
	}
}
