package stack

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// probeInterval is how often Alive looks whether a busy loop has turned.
const probeInterval = time.Millisecond

// Alive returns nil when it has seen proof that the stack works: the lock of every shard could be taken, no packet is stuck on
// its way to the link, and every loop either waits for packets or has turned since the call. It returns an error when ctx ends
// before that, or the stack has ended. It is what a watchdog asks, every few seconds; one call at a time.
func (s *Stack) Alive(ctx context.Context) error {
	if err := s.Err(); err != nil {
		return err
	}
	if !s.probing.CompareAndSwap(false, true) {
		return errors.New("stack: the previous proof of life is still awaited")
	}
	locks := make(chan struct{})
	go func() {
		// It hangs with the lock, and is told so by probing staying set: one goroutine at most is lost.
		for _, sh := range s.shards {
			sh.prove()
		}
		s.probing.Store(false)
		close(locks)
	}()
	select {
	case <-locks:
	case <-ctx.Done():
		return fmt.Errorf("stack: a lock is not given up, or a packet stuck on its way to the link: %w", ctx.Err())
	}
	for _, r := range s.loops {
		if err := r.alive(ctx, s.clock); err != nil {
			return err
		}
	}
	return nil
}

// prove takes the lock, uses the table, and waits until whoever sends has stopped or sent something.
func (sh *shard) prove() {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.table.Deadline()
	for before := sh.packetsOut; sh.sending && sh.packetsOut == before; {
		sh.sent.Wait()
	}
}

// alive waits until the loop waits or has turned.
func (r *reader) alive(ctx context.Context, clock Clock) error {
	before := r.turns.Load()
	tick := make(chan struct{}, 1)
	for !r.waiting.Load() && r.turns.Load() == before {
		t := clock.AfterFunc(probeInterval, func() { signal(tick) })
		select {
		case <-tick:
		case <-r.stack.done:
			t.Stop()
			return r.stack.Err()
		case <-ctx.Done():
			t.Stop()
			return fmt.Errorf("stack: the loop of queue %d does not turn: %w", r.queue, ctx.Err())
		}
	}
	return nil
}
