package stack_test

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/stack"
)

// elsewhere are addresses in our networks at which nobody is.
var elsewhere = map[string]string{"IPv4": "10.77.0.99:80", "IPv6": "[fd77::99]:80"}

func TestDialRefused(t *testing.T) {
	eachWay(t, func(t *testing.T, addr string, queues int) {
		_, err := newPair(t, queues).client.Dial("tcp", addr)
		wantError(t, "Dial", err, syscall.ECONNREFUSED)
		if oe := (*net.OpError)(nil); !errors.As(err, &oe) || oe.Op != "dial" || oe.Addr.String() != addr {
			t.Errorf("Dial: %v does not name the address", err)
		}
	})
}

func TestDialTimeout(t *testing.T) {
	for family, addr := range elsewhere {
		t.Run(family, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, 1)
				start := time.Now()
				_, err := p.client.Dial("tcp", addr)
				wantError(t, "Dial", err, syscall.ETIMEDOUT)
				if d := time.Since(start); d < 30*time.Second || d > 5*time.Minute {
					t.Errorf("Dial gave up after %v", d)
				}
				if st := p.server.Stats(); st.Drops[stack.DropNotOurs] == 0 {
					t.Error("no packet was dropped as not ours")
				}
				checkGone(t, p.client)
			})
		})
	}
}

// checkGone checks that a stack has no connection left.
func checkGone(t *testing.T, s *stack.Stack) {
	t.Helper()
	if st := s.Stats(); st.Connections != 0 || st.MemoryUsed != 0 {
		t.Errorf("%d connections and %d bytes are left", st.Connections, st.MemoryUsed)
	}
}

func TestDialContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := p.client.DialContext(ctx, "tcp", elsewhere["IPv4"])
		wantError(t, "Dial", err, context.DeadlineExceeded)
		if ne := net.Error(nil); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("Dial: %v is no timeout", err)
		}
		if d := time.Since(start); d != time.Second {
			t.Errorf("Dial gave up after %v, want 1s", d)
		}
		ctx, cancel = context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		_, err = p.client.DialContext(ctx, "tcp", elsewhere["IPv6"])
		wantError(t, "Dial", err, context.Canceled)
		checkGone(t, p.client)
	})
}

func TestDialErrors(t *testing.T) {
	p := newPair(t, 1)
	only4 := newPair(t, 1, nil, func(c *stack.Config) { c.Addresses = clientAddrs[:1] })
	tests := map[string]struct {
		from          *stack.Stack
		network, addr string
		want          error
	}{
		"own address":  {p.client, "tcp", "10.77.0.1:80", syscall.EHOSTUNREACH},
		"port 0":       {p.client, "tcp", "10.77.0.2:0", syscall.EADDRNOTAVAIL},
		"multicast":    {p.client, "tcp", "[ff02::1]:80", syscall.EADDRNOTAVAIL},
		"network":      {p.client, "udp", "10.77.0.2:80", nil},
		"wrong family": {p.client, "tcp6", "10.77.0.2:80", nil},
		"no port":      {p.client, "tcp", "10.77.0.2", nil},
		"no address":   {only4.client, "tcp", families["IPv6"], nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c, err := test.from.Dial(test.network, test.addr)
			if err == nil {
				c.Close()
				t.Fatal("no error")
			}
			if test.want != nil {
				wantError(t, "Dial", err, test.want)
			}
		})
	}
}
