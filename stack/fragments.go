package stack

import (
	"sync"
	"time"

	"tcpd/ip"
	"tcpd/tcp"
)

const (
	reassemblyMemory = 4 << 20 // as Linux, ipfrag_high_thresh
	expireInterval   = 10 * time.Second
)

// fragments is the reassembly that all readers share. Its lock is taken before that of a shard, never after.
type fragments struct {
	mu          sync.Mutex
	stack       *Stack
	reassembler *ip.Reassembler
	now         tcp.Time
	armed       bool
}

func (f *fragments) init(s *Stack) {
	f.stack = s
	f.reassembler = ip.NewReassembler(reassemblyMemory)
}

// at keeps the time from going back, as shard.at does.
func (f *fragments) at(now tcp.Time) tcp.Time {
	f.now = max(f.now, now)
	return f.now
}

// arm makes sure that what stays incomplete goes, even if no other fragment ever comes. The timer runs only while there is
// something.
func (f *fragments) arm() {
	if !f.armed {
		f.armed = true
		f.stack.clock.AfterFunc(expireInterval, f.expire)
	}
}

func (f *fragments) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.armed = false
	f.reassembler.Expire(int64(f.at(f.stack.now())))
	if f.reassembler.Bytes() > 0 {
		f.arm()
	}
}
