package stack

import (
	"runtime"

	"tcpd/tcp"
)

const (
	// burst is what is sent of one shard before somebody looks for arrivals again: a few super-packets. Small exchanges do not
	// wait behind more than that.
	burst = 512 << 10
	// guestAfter is how much applications must have sent for one of them to look for arrivals: less is no burden on others.
	guestAfter = 256 << 10
)

// leave ends a section: segments go out, the timer follows, and once the lock is free, those who waited wake. One at a time
// sends, without the lock: whoever leaves meanwhile has nothing to wait for, and his segments go with the others. Between
// bursts arrivals are looked for, and others may run, so that a small exchange does not wait until all is sent that could be.
func (sh *shard) leave(now tcp.Time) {
	var w wakes
	for ; ; now = sh.lock() {
		more, sent := false, 0
		sh.collect(now, &w)
		if !sh.sending {
			more, sent, now = sh.sendBurst(now)
		}
		more = more || sh.calls.len() > 0
		sh.unread += sent
		look := sh.unread >= guestAfter
		if look {
			sh.unread = 0
		}
		sh.settle(now, &w)
		sh.mu.Unlock()
		w.send()
		if look {
			sh.stack.guests[sh.queue()].read()
		}
		if look || more {
			runtime.Gosched() // who sends without end has had his turn, in writes of whatever length
		}
		if !more {
			return
		}
	}
}

// leaveRead is leave for who has read: while a reader of the link serves, the acknowledgement is left to that one.
func (sh *shard) leaveRead(now tcp.Time) {
	if !sh.serving {
		sh.leave(now)
		return
	}
	var w wakes
	sh.collect(now, &w)
	sh.settle(now, &w)
	sh.mu.Unlock()
	w.send()
}

// leaveBurst is leave for a reader: it sends a bounded amount and reports whether there is more. Who waits is added to w.
func (sh *shard) leaveBurst(now tcp.Time, w *wakes) (more bool) {
	sh.collect(now, w)
	if !sh.sending {
		more, _, now = sh.sendBurst(now)
	}
	more = more || sh.calls.len() > 0
	sh.settle(now, w)
	sh.mu.Unlock()
	return more
}

// sendBurst sends a burst, giving the lock up for each packet. It reports whether there is more, what it sent, and the time.
func (sh *shard) sendBurst(now tcp.Time) (more bool, sent int, _ tcp.Time) {
	sh.sending = true
	defer sh.stopSending()
	queue := sh.queue()
	for sent < burst {
		if !sh.table.Poll(now, &sh.out) {
			return false, sent, now
		}
		n := sh.out.Len()
		sh.mu.Unlock()
		err := sh.stack.link.Write(queue, &sh.out)
		now = sh.lockAt(now)
		sh.count(n, err)
		sent += n
	}
	sh.stack.movesMuch()
	return true, sent, now
}

// sendAll sends everything with the lock held: the link is closed next.
func (sh *shard) sendAll(now tcp.Time) {
	for sh.table.Poll(now, &sh.out) {
		sh.count(sh.out.Len(), sh.stack.link.Write(sh.queue(), &sh.out))
	}
}

// startSending waits until nobody sends, and then is the one who does. The lock is held.
func (sh *shard) startSending() {
	for sh.sending {
		sh.sent.Wait()
	}
	sh.sending = true
}

func (sh *shard) stopSending() {
	sh.sending = false
	sh.sent.Broadcast() // to close and Alive, rarely
}

func (sh *shard) count(n int, err error) {
	sh.packetsOut++
	sh.bytesOut += uint64(n)
	if err != nil {
		sh.writeErrors++
		sh.stack.logWriteError(err)
	}
}
