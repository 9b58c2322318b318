// Package tun provides the links that carry IP packets between the stack and the outside: TUN devices of the kernel with
// their offloads, TAP devices, and a link in memory for tests.
//
// The unit of work is the kernel's super-packet: up to 64 KiB of TCP data under one header, in both directions, and up to
// 256 KiB to a peer on the host itself. A device is opened through golang.zx2c4.com/wireguard/tun, but read and written through
// its file directly, with a virtio header of our own: the Read of that package splits super-packets and its Write joins
// packets again.
package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tcpd/ether"
	"tcpd/ip"
)

// Offload says what may be left to the kernel: checksums and the cutting of super-packets.
type Offload uint8

const (
	// OffloadAuto uses what the device and the kernel offer.
	OffloadAuto Offload = iota
	// OffloadOn makes Open fail when super-packets cannot be exchanged with the kernel.
	OffloadOn
	// OffloadOff exchanges single packets with complete checksums.
	OffloadOff
)

func (o Offload) String() string {
	switch o {
	case OffloadAuto:
		return "auto"
	case OffloadOn:
		return "on"
	case OffloadOff:
		return "off"
	}
	return "unknown"
}

const (
	// maxQueues is MAX_TAP_QUEUES of the driver.
	maxQueues = 256
	// autoQueues is how many are taken at most when nobody says: one carries tens of Gbit/s.
	autoQueues = 16
)

// defaultReattachFor is how long a deleted device is waited for when Config does not say.
const defaultReattachFor = time.Minute

// Config says which device to open and how.
type Config struct {
	// Name of the interface, at most 15 characters.
	Name string
	// Create makes the device when there is none of that name, and sets MTU, addresses and link-up. An existing TUN is
	// taken over. Without Create the device must exist and is left as it is; its owner needs no capability for that.
	Create bool
	// Queues is the number of queues. More than one needs a device with multi_queue; 0: one for each processor, 16 at most, where
	// the device is such or is made, else one.
	Queues int
	// Processors is how many the process may use, when that is less than the machine has; 0: as many.
	Processors int
	// MTU in bytes to set with Create; 0 leaves it.
	MTU int
	// Host are the addresses of the kernel's side, each with the prefix that is reached through the link; only with Create.
	Host []netip.Prefix
	// Offload chooses between speed and plain packets.
	Offload Offload
	// ReattachFor is how long a device that was deleted is tried to attach to, or to create, again; 0 is 60 s.
	ReattachFor time.Duration
	// Logf receives what an operator should know: fall-backs, link changes, re-attachment. May be nil.
	Logf func(format string, args ...any)

	anyQueues bool // nobody asked for so many: a device that comes back with one is taken

	tap    bool      // frames of an Ethernet instead of IP packets
	bridge string    // to make the device a port of
	mac    ether.MAC // ours, which must not be the kernel's
	linkUp func()    // called when the link has come up again, without locks
}

// mode names the kind of device, as ip-tuntap(8) does.
func (c *Config) mode() string {
	if c.tap {
		return "tap"
	}
	return "tun"
}

// Device is a TUN device of the kernel. One goroutine at a time may Read a queue; every other method may be called by any.
type Device struct {
	cfg    Config
	view   *view
	attach func() (*attachment, error)
	retry  backoff
	queues []*queue

	mtu        atomic.Int64
	up         atomic.Bool
	reattached atomic.Uint64
	fallbacks  atomic.Uint64
	stripped   bool // the host's side may lack addresses; the watcher's

	mu      sync.Mutex // guards the next three
	at      *attachment
	err     error         // why there is no more reading
	changed chan struct{} // closed and replaced when at or err changes

	lost    chan loss     // readers report that the device is gone
	closing chan struct{} // Close was called
	done    chan struct{} // the watcher has ended
}

// Open attaches to the device, or creates it. The error says which side to change.
func Open(cfg Config) (*Device, error) {
	if cfg.ReattachFor == 0 {
		cfg.ReattachFor = defaultReattachFor
	}
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	v, err := newView()
	if err != nil {
		return nil, err
	}
	sub := subscribe()
	d, err := open(cfg, v, sub)
	if err != nil {
		sub.close()
		v.close()
	}
	return d, err
}

func open(cfg Config, v *view, sub *subscription) (*Device, error) {
	if cfg.Queues == 0 {
		found, err := v.look(cfg.Name)
		if err != nil {
			return nil, err
		}
		cfg.Queues, cfg.anyQueues = chooseQueues(cfg, found), true
	}
	d := newDevice(cfg, v)
	d.attach = func() (*attachment, error) { return attach(d.cfg, v) }
	if err := d.start(sub); err != nil {
		return nil, err
	}
	return d, nil
}

// chooseQueues is what Queues 0 means for a device.
func chooseQueues(cfg Config, f facts) int {
	if cfg.tap || f.exists && !f.multiQueue {
		return 1
	}
	processors := cfg.Processors
	if processors <= 0 {
		processors = runtime.NumCPU()
	}
	return min(processors, autoQueues)
}

func (c *Config) check() error {
	switch {
	case c.Name == "":
		return errors.New("the TUN device has no name")
	case len(c.Name) > maxName:
		return fmt.Errorf("the device name %q is longer than %d characters", c.Name, maxName)
	case c.Queues < 0 || c.Queues > maxQueues:
		return fmt.Errorf("%d queues: a TUN device has between 1 and %d", c.Queues, maxQueues)
	case c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU):
		return fmt.Errorf("MTU %d: must be between %d and %d bytes", c.MTU, minMTU, maxMTU)
	}
	for _, p := range c.Host {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("%v is no address with prefix length for the host's side", p)
		}
	}
	return nil
}

func newDevice(cfg Config, v *view) *Device {
	d := &Device{
		cfg: cfg, view: v, retry: backoff{first: 50 * time.Millisecond, last: time.Second},
		changed: make(chan struct{}), lost: make(chan loss), closing: make(chan struct{}), done: make(chan struct{}),
	}
	for range max(cfg.Queues, 1) {
		d.queues = append(d.queues, newQueue(d))
	}
	return d
}

// start attaches for the first time and sets the watcher off.
func (d *Device) start(sub *subscription) error {
	at, err := d.attach()
	if err != nil {
		return err
	}
	// A name with a number to be chosen ("tcp%d") has been; it is the one to come back to.
	d.cfg.Name = at.name
	d.install(at)
	go d.watch(sub)
	return nil
}

// Name returns the name of the interface.
func (d *Device) Name() string { return d.cfg.Name }

// Queues returns the number of queues.
func (d *Device) Queues() int { return len(d.queues) }

// MTU returns the present MTU of the interface in bytes.
func (d *Device) MTU() int { return int(d.mtu.Load()) }

// Read blocks until the queue has a packet, then hands packets to deliver until the queue is empty or max frames are read.
// Packet and offload are borrowed during the call of deliver. A link that is down or deleted is waited for; an error is
// final: os.ErrClosed after Close, else the reason why the device could not be attached again.
func (d *Device) Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error {
	q := d.queues[queue]
	for {
		end := q.end.Load()
		if cause := q.wait(end); cause != nil {
			if err := d.await(end.at.generation, cause); err != nil {
				return err
			}
			continue
		}
		n := q.accept(end, deliver)
		more, cause := q.drain(end, max-1, deliver)
		q.reading.Unlock()
		if n += more; n > 0 {
			return nil
		}
		if cause != nil {
			if err := d.await(end.at.generation, cause); err != nil {
				return err
			}
		}
	}
}

// Poll is Read without waiting, for any goroutine. While another one is delivering from the queue, or the device is deleted,
// it finds nothing.
func (d *Device) Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	q := d.queues[queue]
	if !q.reading.TryLock() {
		return 0, nil
	}
	defer q.reading.Unlock()
	end := q.end.Load()
	n, cause := q.drain(end, max, deliver)
	if cause == nil || n > 0 {
		return n, nil
	}
	if err := d.finalError(); err != nil {
		return 0, err
	}
	select {
	case d.lost <- loss{end.at.generation, cause}: // perhaps nobody else reads
	default: // it is known, or Poll comes again
	}
	return 0, nil
}

// Write sends one packet or super-packet, borrowed until Write returns; checksums in its header may be completed. What the
// kernel does not take is counted and gone. The only error is the final one that Read returns too.
func (d *Device) Write(queue int, p *ip.Outgoing) error {
	return d.queues[queue].write(p)
}

// Longest returns how long a super-packet to a peer may be, in bytes. More than 64 KiB costs the kernel less than the several packets
// that it stands for when a socket of its own receives it. Most interfaces would have it cut into segments before they send it on,
// so it is for peers on this host only.
func (d *Device) Longest(peer ip.Addr) int {
	if d.view == nil || !d.current().long.Load() || !d.view.routes.deliver(peer) {
		return shortPacket
	}
	return longPacket
}

// Close detaches from the device, which disappears if it was created by us, and ends every Read with os.ErrClosed. It waits
// for the system calls that are under way, but not for deliver.
func (d *Device) Close() error {
	if at := d.end(fmt.Errorf("tun %s: %w", d.cfg.Name, os.ErrClosed)); at != nil {
		at.close()
	}
	d.mu.Lock()
	first := !d.isClosing()
	if first {
		close(d.closing)
	}
	d.mu.Unlock()
	<-d.done
	if first && d.view != nil {
		d.view.close()
	}
	return nil
}

func (d *Device) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

// Stats returns the counters of all queues. It asks the kernel for the drops of the interface: call it some times a second
// at most.
func (d *Device) Stats() Stats {
	var s Stats
	for _, q := range d.queues {
		q.counters.addTo(&s)
	}
	s.LinkUp = d.up.Load()
	s.Reattached = d.reattached.Load()
	s.Fallbacks = d.fallbacks.Load()
	d.mu.Lock()
	at := d.at
	d.mu.Unlock()
	s.VirtioHdr, s.GSO, s.Long, s.Persistent = at.header, at.gso.Load(), at.gso.Load() && at.long.Load(), at.persistent
	if d.view != nil {
		s.KernelDropped, s.KernelDroppedKnown = d.view.dropped(at.name, at.index)
	}
	return s
}

// install makes at the attachment in use. It reports false when the device has been closed meanwhile; at is closed then.
func (d *Device) install(at *attachment) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		at.close()
		return false
	}
	if d.at != nil {
		at.generation = d.at.generation + 1
	}
	d.at = at
	d.mtu.Store(int64(at.mtu))
	if d.up.Store(at.up); !at.up {
		d.tellLink(false)
	}
	for i, q := range d.queues {
		q.end.Store(&at.endpoints[i%len(at.endpoints)])
	}
	d.notify()
	return true
}

// end makes err the final error, unless there is one already, and returns the attachment to be closed.
func (d *Device) end(err error) *attachment {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return nil
	}
	d.err = err
	d.notify()
	return d.at
}

// notify wakes those who wait for at or err to change. Called with mu held.
func (d *Device) notify() {
	close(d.changed)
	d.changed = make(chan struct{})
}

func (d *Device) finalError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// await reports that the attachment of the given generation is of no use any more, and blocks until there is another or
// until there will be none.
func (d *Device) await(generation int, cause error) error {
	report := d.lost
	for {
		d.mu.Lock()
		now, err, changed := d.at.generation, d.err, d.changed
		d.mu.Unlock()
		if err != nil {
			return err
		}
		if now > generation {
			return nil
		}
		select {
		case report <- loss{generation, cause}:
			report = nil
		case <-changed:
		}
	}
}
