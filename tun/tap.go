package tun

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"tcpd/ether"
	"tcpd/ip"
)

// TAPConfig says which device to open, and which host of its Ethernet to be.
type TAPConfig struct {
	// Name, Create, MTU and ReattachFor are those of Config.
	Name        string
	Create      bool
	MTU         int
	ReattachFor time.Duration
	// Bridge is the bridge that the device is made a port of; only with Create. Empty: whoever made the device sees to that.
	Bridge string
	// Host are addresses of the kernel's side, for a device that is no port of a bridge; only with Create.
	Host []netip.Prefix

	// MAC is our address on the Ethernet. The zero value derives one from the machine's identity, Name and the first address.
	MAC ether.MAC
	// Addresses are ours, each with the network that is on the link.
	Addresses []netip.Prefix
	// Whole are prefixes of which every address is ours.
	Whole []netip.Prefix
	// Gateways lead to everybody else, at most one of each family.
	Gateways []netip.Addr
	// Logf receives what an operator should know. May be nil.
	Logf func(format string, args ...any)
}

// TAP is a link that makes its user a host of an Ethernet, with a MAC of its own. There is no offload: super-packets are cut
// in software. Its methods keep to the contract of Device; it has one queue, and its Stats count frames.
type TAP struct {
	*Device
	began   time.Time
	batches sync.Pool // of *batch

	mu     sync.Mutex // guards the next four; frames of the host's own are sent under it
	host   *ether.Host
	due    ether.Time // when keep wakes up
	told   ether.Time // when a conflict was last logged
	flat   []byte
	sooner chan struct{} // keep has to wake up earlier
	kept   chan struct{} // keep has ended

	writing   sync.Mutex
	segmenter ip.Segmenter
	emit      func(*ip.Outgoing) error
	out       ip.Outgoing // the frame being sent
}

// batch is a Read or Poll under way.
type batch struct {
	deliver func([]byte, ip.Offload)
	accept  func([]byte, ip.Offload)
}

// conflictEvery is how often somebody who claims an address of ours is logged.
const conflictEvery = ether.Time(10 * time.Second)

// OpenTAP opens the device and checks that nobody else on the Ethernet has one of the addresses, which takes up to seven
// seconds with IPv4 (RFC 5227) and two without. A link that is down carries no question: then the check begins when it is up, and
// if somebody has one of the addresses Read tells it.
func OpenTAP(cfg TAPConfig) (*TAP, error) {
	if cfg.Logf == nil {
		cfg.Logf = func(string, ...any) {}
	}
	if cfg.MAC == (ether.MAC{}) {
		cfg.MAC = deriveMAC(&cfg, machineID)
	}
	host, err := ether.NewHost(ether.Config{
		MAC: cfg.MAC, Addresses: cfg.Addresses, Whole: cfg.Whole, Gateways: cfg.Gateways, Seed: uint64(time.Now().UnixNano()),
	})
	if err != nil {
		return nil, fmt.Errorf("tun %s: %w", cfg.Name, err)
	}
	t := &TAP{began: time.Now(), host: host, told: -conflictEvery, sooner: make(chan struct{}, 1), kept: make(chan struct{})}
	t.emit = t.send
	t.batches.New = func() any { return t.newBatch() }
	t.mu.Lock() // for linkUp, which may be called before there is a Device to send by
	t.Device, err = Open(Config{
		Name: cfg.Name, Create: cfg.Create, MTU: cfg.MTU, ReattachFor: cfg.ReattachFor, Host: cfg.Host, Offload: OffloadOff,
		Logf: cfg.Logf, tap: true, bridge: cfg.Bridge, mac: cfg.MAC, linkUp: t.linkUp,
	})
	t.mu.Unlock()
	if err != nil {
		return nil, err
	}
	t.cfg.Logf("tun %s: our MAC is %v; checking that nobody else has %s", t.cfg.Name, cfg.MAC, addressList(cfg.Addresses))
	if t.linkUp(); !t.up.Load() {
		t.cfg.Logf("tun %s: nobody can be asked while the link is down: our addresses are checked, and used, when it is up", t.cfg.Name)
	}
	if err := t.checkAddresses(); err != nil {
		t.Device.Close()
		return nil, err
	}
	go t.keep()
	return t, nil
}

// machineID is the file with the machine's identity: 32 hexadecimal digits, or "uninitialized" (machine-id(5)).
const machineID = "/etc/machine-id"

// deriveMAC returns a MAC that stays the same for the device and its first address on this machine.
func deriveMAC(cfg *TAPConfig, identity string) ether.MAC {
	key, err := readIdentity(identity)
	if err != nil {
		cfg.Logf("tun %s: the MAC is of this device's name and address alone, as the machine has no identity (%v): set tun.mac if that is not unique", cfg.Name, err)
	}
	name := cfg.Name
	if len(cfg.Addresses) > 0 {
		name += " " + cfg.Addresses[0].Addr().String()
	}
	return ether.DeriveMAC(key, name)
}

// readIdentity reads the machine's identity. An error leaves the key zero.
func readIdentity(file string) (key [16]byte, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return key, err
	}
	id, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(id) != len(key) {
		return key, fmt.Errorf("%s is not of %d hexadecimal digits", file, 2*len(key))
	}
	return [16]byte(id), nil
}

// checkAddresses waits until the host has its addresses, unless the link is down. Nobody else uses the device yet.
func (t *TAP) checkAddresses() error {
	const look = 5 * time.Millisecond
	hear := func(frame []byte, _ ip.Offload) { t.arrive(frame) }
	for {
		if _, err := t.Device.Poll(0, 64, hear); err != nil {
			return err
		}
		_, err := t.turn()
		if err != nil || !t.checking() {
			return err
		}
		time.Sleep(look)
	}
}

// checking reports whether the host asks for its addresses, and can be answered.
func (t *TAP) checking() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.host.Ready() && t.up.Load()
}

func addressList(list []netip.Prefix) string {
	var texts []string
	for _, p := range list {
		texts = append(texts, p.Addr().String())
	}
	return strings.Join(texts, ", ")
}

func (t *TAP) now() ether.Time { return ether.Time(time.Since(t.began)) }

// linkUp is called when the link has come up: the Ethernet is told where our addresses are, or asked whether they are free. What was
// asked before is asked again, for it was lost ("This also applies when a network interface transitions from an inactive to an active
// state", RFC 5227, section 2.1).
func (t *TAP) linkUp() {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, refuses := t.host.Conflict()
	switch {
	case !t.up.Load() || refuses:
		return
	case t.host.Ready():
		t.host.Announce(t.now())
	default:
		t.host.Start(t.now())
	}
	t.advance()
	t.wake()
}

// keep does what is due until the link is closed, or somebody has one of our addresses.
func (t *TAP) keep() {
	defer close(t.kept)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.closing:
			return
		case <-t.sooner:
		case <-timer.C:
		}
		wait, err := t.turn()
		if err != nil {
			if at := t.end(err); at != nil {
				at.close()
			}
			return
		}
		timer.Reset(min(max(wait, time.Millisecond), time.Hour))
	}
}

// turn does what is due and returns how long there is nothing more to do. The error says who has one of our addresses.
func (t *TAP) turn() (time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advance()
	if c, refuses := t.host.Conflict(); refuses {
		return 0, fmt.Errorf("tun %s: %v is taken: %v on this network answers for it: give tcpd another address (addresses), or stop the other host",
			t.cfg.Name, c.Addr, c.MAC)
	}
	now := t.now()
	if t.due = t.host.Deadline(); t.idle() {
		t.due = now + ether.Time(time.Hour)
	}
	return time.Duration(t.due - now), nil
}

// idle reports whether the host waits for the link to come up before it goes on with the check of its addresses. Called with the
// lock held, as are the next three.
func (t *TAP) idle() bool { return !t.host.Ready() && !t.up.Load() }

// advance does what is due, and sends what there is to send.
func (t *TAP) advance() {
	if !t.idle() {
		t.host.Advance(t.now())
	}
	t.flush()
}

func (t *TAP) flush() {
	for frame := t.host.Poll(); frame != nil; frame = t.host.Poll() {
		_ = t.Device.Write(0, &ip.Outgoing{Header: frame}) // the final error is told by Read
	}
}

// wake makes keep look at the deadline, if it has come nearer.
func (t *TAP) wake() {
	if t.host.Deadline() >= t.due {
		return
	}
	t.due = t.host.Deadline()
	t.rouse()
}

func (t *TAP) rouse() {
	select {
	case t.sooner <- struct{}{}:
	default:
	}
}

// arrive takes a frame and returns the packet for the stack, if there is one.
func (t *TAP) arrive(frame []byte) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	packet := t.host.Arrive(now, frame)
	t.flush()
	t.wake()
	switch c, refuses := t.host.Conflict(); {
	case refuses:
		t.rouse() // keep ends the link
	case c.At == now && now-t.told >= conflictEvery:
		t.told = now
		t.cfg.Logf("tun %s: %v claims our address %v: one of the two hosts needs another address", t.cfg.Name, c.MAC, c.Addr)
	}
	return packet
}

func (t *TAP) newBatch() *batch {
	b := &batch{}
	b.accept = func(frame []byte, _ ip.Offload) {
		if packet := t.arrive(frame); packet != nil {
			b.deliver(packet, ip.Offload{})
		}
	}
	return b
}

// Read blocks until there is a frame, then delivers the packets for the stack among up to max frames, which may be none.
func (t *TAP) Read(queue, max int, deliver func(packet []byte, o ip.Offload)) error {
	b := t.batches.Get().(*batch)
	defer t.batches.Put(b)
	b.deliver = deliver
	return t.Device.Read(queue, max, b.accept)
}

// Poll is Read without waiting. It returns the number of frames read.
func (t *TAP) Poll(queue, max int, deliver func(packet []byte, o ip.Offload)) (int, error) {
	b := t.batches.Get().(*batch)
	defer t.batches.Put(b)
	b.deliver = deliver
	return t.Device.Poll(queue, max, b.accept)
}

// Write sends a packet, a super-packet in its segments, with complete checksums. One whose neighbor is not known waits for it.
func (t *TAP) Write(_ int, p *ip.Outgoing) error {
	t.writing.Lock()
	defer t.writing.Unlock()
	if p.Offload == (ip.Offload{}) {
		return t.send(p)
	}
	if p.Offload.SegmentSize != 0 {
		t.counters().segmented.Add(1)
	}
	err := t.segmenter.Split(p, t.emit)
	if errors.Is(err, ip.ErrNotSegmentable) {
		t.counters().drop(WriteMalformed)
		return nil
	}
	return err
}

func (t *TAP) counters() *counters { return &t.queues[0].counters }

// send puts one packet into a frame.
func (t *TAP) send(p *ip.Outgoing) error {
	dst, ok := destination(p.Header)
	switch {
	case !ok:
		t.counters().drop(WriteMalformed)
		return nil
	case p.Len() > t.MTU():
		t.counters().drop(WriteTooLong)
		return nil
	}
	mac, known := t.route(dst, p)
	if !known {
		return nil
	}
	h := slices.Grow(t.out.Header[:0], ether.HeaderLen+len(p.Header))[:ether.HeaderLen]
	ether.PutHeader(h, mac, t.host.MAC(), p.Header)
	t.out.Header, t.out.Payload = append(h, p.Header...), p.Payload
	err := t.Device.Write(0, &t.out)
	t.out.Payload = nil // the stack's buffers are not ours to keep alive
	return err
}

// route returns where a packet has to be sent. If that is not known, the packet waits, or is lost and counted.
func (t *TAP) route(dst ip.Addr, p *ip.Outgoing) (ether.MAC, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	mac, known, loss := t.host.Route(now, dst)
	if !known && loss == ether.Sent {
		t.flat = append(t.flat[:0], p.Header...)
		for _, piece := range p.Payload {
			t.flat = append(t.flat, piece...)
		}
		t.host.Hold(now, dst, t.flat)
		t.flush()
	}
	t.wake()
	return mac, known
}

// destination reads the address that a packet goes to.
func destination(header []byte) (ip.Addr, bool) {
	switch {
	case len(header) >= ip.HeaderLen6 && header[0]>>4 == 6:
		return ip.Addr(header[24:40]), true
	case len(header) >= ip.HeaderLen4 && header[0]>>4 == 4:
		return ip.Addr4([4]byte(header[16:20])), true
	}
	return ip.Addr{}, false
}

// Close detaches from the device as Device.Close does.
func (t *TAP) Close() error {
	err := t.Device.Close()
	<-t.kept
	return err
}

// Stats returns the counters of the device and of the host on its Ethernet.
func (t *TAP) Stats() Stats {
	s := t.Device.Stats()
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.host.Counters()
	s.Ether = &c
	return s
}
