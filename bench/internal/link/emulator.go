package link

import (
	"encoding/binary"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Emulator joins two TUN devices. One thread reads both, keeps the packets on their way and hands them over at their time.
// Packets of connections that were not announced pass at once and unharmed.
type Emulator struct {
	devices [2]int
	wake    int // eventfd: look again
	epoch   time.Time
	done    chan struct{}

	mu       sync.Mutex // the rest
	links    map[uint16]*[2]direction
	transits transits
	captures [2]*capture
	late     *Lateness
	last     time.Duration // when a packet was seen
	failed   uint64        // writes the kernel refused
	closed   bool
	buffer   [65536]byte
}

// New starts an emulator between the device of the client and the one of the server, which it owns from now on.
func New(client, server int) (*Emulator, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	e := &Emulator{
		devices: [2]int{client, server}, wake: wake, epoch: time.Now(), done: make(chan struct{}),
		links: map[uint16]*[2]direction{}, late: new(Lateness),
	}
	go e.loop()
	return e, nil
}

// Close stops the emulator and closes both devices.
func (e *Emulator) Close() {
	e.locked(func() { e.closed = true })
	<-e.done
	for _, fd := range []int{e.devices[Client], e.devices[Server], e.wake} {
		unix.Close(fd)
	}
}

// locked changes the emulator's state and lets the loop see it.
func (e *Emulator) locked(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f()
	unix.Write(e.wake, binary.NativeEndian.AppendUint64(nil, 1))
}

// Announce gives the connections of a client's port a link. The same seed gives the same random losses.
func (e *Emulator) Announce(port uint16, c Conditions, seed uint64) {
	e.locked(func() { e.links[port] = &[2]direction{newDirection(c, seed, Client), newDirection(c, seed, Server)} })
}

// Report is what the links did since Clear.
type Report struct {
	Links  map[uint16][2]Counts // of each client's port: packets that entered at the client, at the server
	Late   *Lateness            // of all
	Failed uint64               // packets the kernel did not take
}

// Clear ends all links: what is on its way is dropped, what follows passes at once.
func (e *Emulator) Clear() (r Report) {
	e.locked(func() {
		r.Links = map[uint16][2]Counts{}
		for port, l := range e.links {
			r.Links[port] = [2]Counts{l[Client].counts, l[Server].counts}
		}
		r.Late, r.Failed = e.late, e.failed
		clear(e.links)
		e.transits.clear()
		e.late, e.failed = new(Lateness), 0
	})
	return r
}

// Quiet waits until no packet has been seen for d, at most for limit.
func (e *Emulator) Quiet(d, limit time.Duration) {
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(d / 4) {
		e.mu.Lock()
		quiet := time.Since(e.epoch)-e.last > d
		e.mu.Unlock()
		if quiet {
			return
		}
	}
}

// Capture records the packets at the client's and the server's end, both ways, until Release.
func (e *Emulator) Capture(client, server io.WriteCloser) {
	e.locked(func() { e.captures = [2]*capture{newCapture(client, e.epoch), newCapture(server, e.epoch)} })
}

// Release ends a capture.
func (e *Emulator) Release() (err error) {
	e.locked(func() {
		for side, c := range e.captures {
			if failure := c.close(); failure != nil {
				err = failure
			}
			e.captures[side] = nil
		}
	})
	return err
}

// loop runs until Close. Its thread must be on time: it goes before ordinary ones, and its timers are not rounded.
func (e *Emulator) loop() {
	defer close(e.done)
	runtime.LockOSThread() // and never unlocked: the thread ends with its priority
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	unix.SchedSetAttr(0, &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_RR, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK,
	}, 0)
	poll := []unix.PollFd{
		{Fd: int32(e.devices[Client]), Events: unix.POLLIN},
		{Fd: int32(e.devices[Server]), Events: unix.POLLIN},
		{Fd: int32(e.wake), Events: unix.POLLIN},
	}
	for {
		wait, ok := e.turn()
		if !ok {
			return
		}
		sleep(poll, wait)
	}
}

// turn reads and delivers until there is nothing to do now, and returns for how long, nil for ever; false: closed.
func (e *Emulator) turn() (*unix.Timespec, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var wakes [8]byte
	unix.Read(e.wake, wakes[:])
	for !e.closed {
		read := e.read(Client) + e.read(Server)
		due, waiting := e.deliver()
		if read > 0 {
			continue
		}
		if !waiting && len(e.links) == 0 {
			return nil, true
		}
		idle := sleepLongest
		if waiting {
			idle = min(max(due-time.Since(e.epoch), 0), sleepLongest)
		}
		wait := unix.NsecToTimespec(int64(idle))
		return &wait, true
	}
	return nil, false
}

// batch bounds what is read before looking at the clock again.
const batch = 16

// read takes up to a batch of packets that enter at a side.
func (e *Emulator) read(from Side) (n int) {
	for ; n < batch; n++ {
		size, ok := readNow(e.devices[from], e.buffer[:])
		if !ok {
			break
		}
		now := time.Since(e.epoch)
		e.last = now
		packet := e.buffer[:size]
		e.captures[from].add(now, packet)
		due := now
		if l := e.links[clientPort(packet, from)]; l != nil {
			due, ok = l[from].admit(now, size)
		}
		if ok {
			e.transits.hold(due, 1-from, packet)
		}
	}
	return n
}

// deliver hands over what is due and returns when the next packet is.
func (e *Emulator) deliver() (due time.Duration, waiting bool) {
	for {
		due, waiting = e.transits.next()
		now := time.Since(e.epoch)
		if !waiting || due > now {
			return due, waiting
		}
		t := e.transits.take()
		e.late.add(now - due)
		e.captures[t.to].add(now, t.bytes)
		if !writeNow(e.devices[t.to], t.bytes) {
			e.failed++
		}
		e.transits.release(t.bytes)
	}
}

// clientPort returns the client's port of a TCP or UDP packet without IPv6 extension headers; 0: something else.
func clientPort(p []byte, from Side) uint16 {
	ports := 0
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		ports = int(p[0]&15) * 4
	case len(p) >= 40 && p[0]>>4 == 6:
		ports = 40
	}
	at := ports + 2*int(from)
	if ports == 0 || len(p) < at+2 {
		return 0
	}
	return binary.BigEndian.Uint16(p[at:])
}
