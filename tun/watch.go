package tun

import (
	"fmt"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rereadEvery is how often MTU and state of the link are read where the kernel does not tell of changes.
const rereadEvery = time.Second

// loss is a reader's report that the device is gone.
type loss struct {
	generation int
	cause      error
}

// backoff is the time between attempts to attach again: first, then doubled up to last.
type backoff struct{ first, last time.Duration }

// subscription is the kernel telling of changes of links. The zero value never tells anything.
type subscription struct {
	updates chan netlink.LinkUpdate
	stop    chan struct{}
}

// subscribe asks to be told. Where that is not permitted (no AF_NETLINK in the sandbox), the watcher reads at intervals.
func subscribe() *subscription {
	s := &subscription{make(chan netlink.LinkUpdate), make(chan struct{})}
	err := netlink.LinkSubscribeWithOptions(s.updates, s.stop, netlink.LinkSubscribeOptions{ErrorCallback: func(error) {}})
	if err != nil {
		return &subscription{}
	}
	return s
}

func (s *subscription) active() bool { return s.updates != nil }

// close ends the goroutines behind the subscription.
func (s *subscription) close() {
	if !s.active() {
		return
	}
	close(s.stop)
	for range s.updates {
	}
	s.updates = nil
}

// watch keeps MTU and link state current and brings a deleted device back. It is the only goroutine of a Device.
func (d *Device) watch(sub *subscription) {
	defer close(d.done)
	defer sub.close()
	ticker := time.NewTicker(rereadEvery)
	defer ticker.Stop()
	if sub.active() {
		ticker.Stop()
	}
	d.stripped = strips(d.MTU(), d.up.Load())
	for {
		select {
		case <-d.closing:
			return
		case u, ok := <-sub.updates:
			if !ok { // the socket overflowed: changes have been missed
				sub.close()
				d.stripped = true
				ticker.Reset(rereadEvery)
				continue
			}
			d.linkChanged(u)
		case <-ticker.C:
			d.reread(d.current().name)
		case l := <-d.lost:
			if l.generation != d.current().generation {
				continue
			}
			if err := d.reattach(sub, l.cause); err != nil {
				if at := d.end(err); at != nil {
					at.close()
				}
				<-d.closing
				return
			}
			d.stripped = strips(d.MTU(), d.up.Load())
		}
	}
}

func (d *Device) current() *attachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.at
}

// linkChanged takes a message of the kernel as the sign to look. What it says may be out of date: a change of our own that
// came before is still in the socket.
func (d *Device) linkChanged(u netlink.LinkUpdate) {
	if u.Header.Type == unix.RTM_NEWLINK && int(u.Index) == d.current().index {
		d.stripped = d.stripped || strips(u.Attrs().MTU, u.Attrs().RawFlags&unix.IFF_UP != 0)
		d.reread(u.Attrs().Name) // it may have been renamed
	}
}

// strips reports whether the kernel takes its IPv6 addresses off such a link. It gives none of them back.
func strips(mtu int, up bool) bool { return !up || mtu < minMTU6 }

// reread looks at MTU and state of the link.
func (d *Device) reread(name string) {
	if d.view == nil {
		return
	}
	if f, err := d.view.look(name); err == nil && f.exists {
		d.restore(f)
		d.setLink(f.mtu, f.up)
	}
}

// restore gives the host's side of a device of ours its IPv6 addresses again, once the link is such that it can keep them.
func (d *Device) restore(f facts) {
	if strips(f.mtu, f.up) {
		d.stripped = true
		return
	}
	if d.stripped && d.cfg.Create {
		if err := d.view.readdress(f, d.cfg); err != nil { // it is tried again with the next change
			d.cfg.Logf("tun %s: the host's IPv6 addresses, which the kernel takes off a link that is down, are not back: %v", d.cfg.Name, err)
			return
		}
	}
	d.stripped = false
}

// setLink takes over what is known of the link and tells of changes.
func (d *Device) setLink(mtu int, up bool) {
	if old := d.mtu.Swap(int64(mtu)); old != int64(mtu) {
		d.cfg.Logf("tun %s: the MTU is now %d bytes (was %d)", d.cfg.Name, mtu, old)
	}
	if old := d.up.Swap(up); old != up {
		d.tellLink(up)
		if up {
			d.cameUp()
		}
	}
}

// cameUp tells who wants to know that the link is there again.
func (d *Device) cameUp() {
	if d.cfg.linkUp != nil {
		d.cfg.linkUp()
	}
}

func (d *Device) tellLink(up bool) {
	state := "down: packets are dropped until `ip link set " + d.cfg.Name + " up`"
	if up {
		state = "up"
	}
	d.cfg.Logf("tun %s: the link is %s", d.cfg.Name, state)
}

// reattach attaches to the device anew, creating it if that was its beginning. It gives up after ReattachFor. It pauses
// before the first attempt too: a device that can be attached to but not read must not keep us busy.
func (d *Device) reattach(sub *subscription, cause error) error {
	d.current().close()
	d.up.Store(false)
	d.cfg.Logf("tun %s: the device is gone (%v); trying for %v to attach again", d.cfg.Name, cause, d.cfg.ReattachFor)
	giveUp := time.Now().Add(d.cfg.ReattachFor)
	for wait := d.retry.first; d.pause(sub, wait); wait = min(2*wait, d.retry.last) {
		at, err := d.attach()
		if err == nil {
			if d.install(at) {
				d.reattached.Add(1)
				d.cfg.Logf("tun %s: attached again", d.cfg.Name)
				d.cameUp()
			}
			return nil
		}
		if time.Now().Add(wait).After(giveUp) {
			return fmt.Errorf("the TUN device was deleted, and for %v could not be attached again: %w", d.cfg.ReattachFor, err)
		}
	}
	return nil // closed
}

// pause waits, without letting messages of the kernel pile up. It returns false when the device is closed meanwhile.
func (d *Device) pause(sub *subscription, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	updates := sub.updates
	for {
		select {
		case <-d.closing:
			return false
		case <-timer.C:
			return true
		case _, ok := <-updates:
			if !ok {
				updates = nil // watch will see it too
			}
		}
	}
}
