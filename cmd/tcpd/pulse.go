package main

import (
	"context"
	"os"
	"sync"
	"time"
)

const (
	pulseWait = 2 * time.Second // for the data loop to give proof of life
	pulseHold = time.Second     // how long a proof is good for those who ask again
)

// pulse asks the stack for proof of life, for all who want to know.
type pulse struct {
	mu  sync.Mutex
	at  time.Time
	err error
}

// alive returns nil if the data loops turn and their locks are given up, else what stands still.
func (d *daemon) alive() error {
	p := &d.pulse
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at.IsZero() || time.Since(p.at) > pulseHold {
		ctx, cancel := context.WithTimeout(context.Background(), pulseWait)
		defer cancel()
		p.err = d.stack.Alive(ctx)
		p.at = time.Now()
	}
	return p.err
}

// feedWatchdog tells the service manager every interval that the data loops turn, for as long as they do.
func (d *daemon) feedWatchdog(ctx context.Context, interval time.Duration) {
	defer crash(d.log, os.Exit)
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		if err := d.alive(); err == nil {
			d.notify.send("WATCHDOG=1")
		} else if ctx.Err() == nil {
			d.log.Sugar().Errorf("the watchdog is not fed: %v", err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
