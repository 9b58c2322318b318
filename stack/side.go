package stack

import (
	"time"

	"tcpd/tcp"
)

// side is one direction of a connection as its application sees it: who reads, or who writes. All of it is guarded by the
// shard's lock. What only callers who block need is made when the first one does.
type side struct {
	deadline tcp.Time // 0: none
	wait     *waiting
	busy     bool  // a call is under way; others of the same direction queue, so that writes do not mix
	blocked  bool  // that call waits
	queued   int32 // calls that wait for their turn
}

// waiting is where callers block. Each channel holds one token.
type waiting struct {
	wake  chan struct{} // for the call under way: look again
	turn  chan struct{} // for one of those queued
	timer Timer         // of the deadline; runs only while somebody is blocked
	runs  bool          // the timer does
}

func (s *side) waiting(sh *shard) *waiting {
	if s.wait != nil {
		return s.wait
	}
	if n := len(sh.places); n > 0 {
		s.wait = sh.places[n-1]
		sh.places = sh.places[:n-1]
	} else {
		s.wait = &waiting{wake: make(chan struct{}, 1)}
	}
	return s.wait
}

// keptPlaces bounds the places to wait that a shard keeps for the next who block.
const keptPlaces = 256

// leavePlace lets others wait where nobody does any more: an idle connection keeps no channel. One that is told too late wakes
// somebody else, who looks again and goes on waiting.
func (s *side) leavePlace(sh *shard) {
	if s.wait == nil || s.busy || s.blocked || s.queued > 0 {
		return
	}
	if len(sh.places) < keptPlaces {
		sh.places = append(sh.places, s.wait)
	}
	s.wait = nil
}

// rouse has the blocked call, if any, look again.
func (s *side) rouse(w *wakes) {
	if s.blocked {
		s.blocked = false
		w.add(s.wait.wake)
	}
}

// expired reports whether the deadline has passed.
func (s *side) expired(now tcp.Time) bool { return s.deadline != 0 && s.deadline <= now }

// begin waits until no other call of this direction is under way, and returns the time. The lock is held.
func (s *side) begin(sh *shard, now tcp.Time) tcp.Time {
	for s.busy {
		w := s.waiting(sh)
		if w.turn == nil {
			w.turn = make(chan struct{}, 1)
		}
		s.queued++
		sh.leave(now)
		<-w.turn
		now = sh.lock()
		s.queued--
	}
	s.busy = true
	return now
}

// end lets the next call go on. The lock is held.
func (s *side) end(sh *shard) {
	s.busy = false
	if s.queued > 0 {
		signal(s.wait.turn)
		return
	}
	s.leavePlace(sh)
}

// prepare makes ready to block: a timer runs if there is a deadline. What the caller has to do then is leave the shard and
// receive from the channel returned, then resume.
func (s *side) prepare(sh *shard, now tcp.Time) chan struct{} {
	w := s.waiting(sh)
	s.blocked = true
	if s.deadline != 0 {
		w.start(sh.stack.clock, until(now, s.deadline))
	}
	return w.wake
}

// resume takes the lock again after blocking, and returns the time.
func (s *side) resume(sh *shard) tcp.Time {
	now := sh.lock()
	s.blocked = false
	if s.wait.runs {
		s.wait.runs = false
		s.wait.timer.Stop()
	}
	return now
}

func (w *waiting) start(clock Clock, d time.Duration) {
	w.runs = true
	if w.timer == nil {
		w.timer = clock.AfterFunc(d, func() { signal(w.wake) })
		return
	}
	w.timer.Reset(d)
}
