package tun

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The kernel ends a subscription whose socket overflowed. The socket, and the goroutine that would close it, are ours to end.
func TestSubscriptionThatOverflowed(t *testing.T) {
	sub := &subscription{make(chan netlink.LinkUpdate), make(chan struct{})}
	stop := sub.stop
	f := newFakeTold(t, 1, false, sub)
	close(sub.updates)
	select {
	case <-stop:
	case <-time.After(20 * time.Second):
		t.Fatal("the subscription was not closed")
	}
	f.Close() // which closes it no second time
}
