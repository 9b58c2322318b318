package stack_test

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func TestPingIsAnswered(t *testing.T) {
	for family, to := range map[string]string{"IPv4": "10.77.0.2", "IPv6": "fd77::2"} {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 2)
				for _, size := range []int{0, 56, 1400} {
					if _, err := p.client.Ping(t.Context(), netip.MustParseAddr(to), size); err != nil {
						t.Errorf("a ping of %d bytes: %v", size, err)
					}
				}
				if n := p.server.Stats().EchoReplies; n != 3 {
					t.Errorf("%d replies were sent, want 3", n)
				}
				if _, err := p.client.Ping(t.Context(), netip.MustParseAddr(to), 1500); err == nil {
					t.Error("a ping larger than the MTU was sent")
				}
			})
		})
	}
}

func TestPingOfNobody(t *testing.T) {
	for family, to := range map[string]string{"IPv4": "10.77.0.99", "IPv6": "fd77::99"} {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				start := time.Now()
				_, err := p.client.Ping(ctx, netip.MustParseAddr(to), 56)
				if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 2*time.Second {
					t.Errorf("Ping ended after %v with %v, want the context's error after 2s", time.Since(start), err)
				}
			})
		})
	}
}
