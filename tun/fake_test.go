package tun

import (
	"bytes"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// fakeDevice is a Device whose queues are sockets instead of a TUN: every message is a frame. It needs no privilege.
type fakeDevice struct {
	*Device
	t      testing.TB
	header bool
	gso    bool
	long   bool
	refuse error // what attaching fails with

	mu      sync.Mutex
	kernel  []*os.File // the other ends, of the latest attachment
	logged  []string
	attempt int
}

// newFake opens a fake with queues, with virtio headers or without.
func newFake(t testing.TB, queues int, header bool) *fakeDevice {
	t.Helper()
	return newFakeTold(t, queues, header, &subscription{})
}

// newFakeTold opens a fake that hears of changes.
func newFakeTold(t testing.TB, queues int, header bool, sub *subscription) *fakeDevice {
	t.Helper()
	f := &fakeDevice{t: t, header: header, gso: header}
	f.Device = newDevice(Config{Name: "fake", Queues: queues, ReattachFor: time.Minute, Logf: f.logf}, nil)
	f.retry = backoff{time.Millisecond, time.Millisecond}
	f.attach = f.connect
	if err := f.start(sub); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		f.disconnect()
	})
	return f
}

func (f *fakeDevice) logf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logged = append(f.logged, format)
}

func (f *fakeDevice) connect() (*attachment, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.attempt++
	if f.refuse != nil {
		return nil, f.refuse
	}
	at := &attachment{name: "fake", mtu: 1500 + f.attempt - 1, up: true, header: f.header}
	at.gso.Store(f.gso)
	at.long.Store(f.long)
	f.kernel = nil
	for range f.queues {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		conn, err := ours.SyscallConn()
		if err != nil {
			return nil, err
		}
		at.endpoints = append(at.endpoints, endpoint{at, ours, conn})
		f.kernel = append(f.kernel, theirs)
	}
	return at, nil
}

func (f *fakeDevice) disconnect() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range f.kernel {
		k.Close()
	}
}

// end returns the kernel's end of a queue.
func (f *fakeDevice) end(queue int) *os.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kernel[queue]
}

// give lets the kernel hand over a frame.
func (f *fakeDevice) give(queue int, frame []byte) {
	f.t.Helper()
	if _, err := f.end(queue).Write(frame); err != nil {
		f.t.Fatal(err)
	}
}

// take returns the next frame written by us.
func (f *fakeDevice) take(queue int) []byte {
	f.t.Helper()
	k := f.end(queue)
	k.SetReadDeadline(time.Now().Add(10 * time.Second))
	b := make([]byte, headerLen+longPacket)
	n, err := k.Read(b)
	if err != nil {
		f.t.Fatalf("no frame was written: %v", err)
	}
	return b[:n]
}

// silent checks that nothing more was written.
func (f *fakeDevice) silent(queue int) {
	f.t.Helper()
	k := f.end(queue)
	k.SetReadDeadline(time.Now())
	if n, err := k.Read(make([]byte, 10)); err == nil {
		f.t.Errorf("a frame of at least %d bytes too many was written", n)
	}
}

// failWrites makes writes that verdict objects to fail with its error.
func (f *fakeDevice) failWrites(verdict func(frame []byte) syscall.Errno) {
	for _, q := range f.queues {
		q.kernel.writev = func(fd uintptr, iov []unix.Iovec) (int, syscall.Errno) {
			var frame []byte
			for _, v := range iov {
				frame = append(frame, unsafe.Slice(v.Base, v.Len)...)
			}
			if e := verdict(frame); e != 0 {
				return -1, e
			}
			return writeFrame(fd, iov)
		}
	}
}

type received struct {
	packet  []byte
	offload ip.Offload
}

// keep returns a deliver function and where it copies packets to.
func keep() (func([]byte, ip.Offload), *[]received) {
	var got []received
	return func(p []byte, o ip.Offload) { got = append(got, received{bytes.Clone(p), o}) }, &got
}

// breakDevice makes reads fail as those of a deleted device until it is attached again.
func (f *fakeDevice) breakDevice() {
	for i, q := range f.queues {
		old := q.end.Load()
		q.kernel.read = func(fd uintptr, b []byte) (int, syscall.Errno) {
			if q.end.Load() == old {
				return -1, unix.EBADFD
			}
			return readFrame(fd, b)
		}
		defer f.give(i, []byte{0}) // wakes the reader
	}
}

// awaitGeneration returns when the device has been attached n times more.
func (f *fakeDevice) awaitGeneration(n int) {
	for {
		f.Device.mu.Lock()
		now, changed := f.at.generation, f.changed
		f.Device.mu.Unlock()
		if now >= n {
			return
		}
		<-changed
	}
}
