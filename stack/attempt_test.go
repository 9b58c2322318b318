package stack_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
)

// TestAttempt_rejectedMeanwhile: who waits for the client is told, and the client as well.
func TestAttempt_rejectedMeanwhile(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			p := newPair(t, 1)
			l := p.listen(addr, stack.ListenOptions{Hold: true})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go p.client.DialContext(ctx, "tcp", addr)
			a, err := l.NextAttempt()
			if err != nil {
				t.Fatal(err)
			}
			p.ends[0].pulled.Store(true) // the SYN-ACK does not arrive
			ended := make(chan error, 1)
			go func() {
				_, err := a.Accept()
				ended <- err
			}()
			a.Reject()
			if err := <-ended; !errors.Is(err, syscall.ECONNABORTED) {
				t.Errorf("Accept returns %v", err)
			}
			p.ends[0].pulled.Store(false)
		})
	}
}

// TestAttempt_countsForItsSource: a client that the application has not decided about is one of its source's.
func TestAttempt_countsForItsSource(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 1, func(c *stack.Config) { c.Limits.PerSource.Connections = 1 })
				l := p.listen(addr, stack.ListenOptions{Hold: true})
				dial := func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					if c, err := p.client.DialContext(ctx, "tcp", addr); err == nil {
						<-ctx.Done()
						c.Close()
					}
				}
				for range 5 {
					go dial()
				}
				a, err := l.NextAttempt()
				if err != nil {
					t.Fatal(err)
				}
				another := make(chan *stack.Attempt, 1)
				go func() {
					if a, err := l.NextAttempt(); err == nil {
						another <- a
					}
				}()
				time.Sleep(10 * time.Second)
				select {
				case <-another:
					t.Fatal("a source that may have one connection has two attempts")
				default:
				}
				a.Reject()
				go dial()
				c, err := (<-another).Accept()
				if err != nil {
					t.Fatal(err)
				}
				go dial()
				time.Sleep(5 * time.Second)
				if p.server.Stats().Drops[stack.DropSourceConnections] == 0 {
					t.Error("no SYN was turned away, with a connection there")
				}
				c.Close()
				time.Sleep(time.Minute) // until all have given up
			})
		})
	}
}
