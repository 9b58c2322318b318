package tun

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
	wireguard "golang.zx2c4.com/wireguard/tun"
)

// cloneDevice is where every TUN queue is opened.
const cloneDevice = "/dev/net/tun"

// offloads is what we take from the kernel: partial checksums and TCP super-packets, also those that begin with CWR (RFC 3168).
// Not UDP's: we have no use for them.
const offloads = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6 | unix.TUN_F_TSO_ECN

// attachment is the device as it was found or made: all our queues of it and what holds for each of them.
type attachment struct {
	name       string
	index      int
	mtu        int
	up         bool
	persistent bool
	header     bool        // frames carry a virtio header
	gso        atomic.Bool // super-packets may be written
	long       atomic.Bool // also those of more than 64 KiB
	generation int
	endpoints  []endpoint
}

// endpoint is one attached queue.
type endpoint struct {
	at     *attachment
	device io.Closer       // the wireguard Device, or water's file
	conn   syscall.RawConn // of its file
}

func (a *attachment) close() {
	for _, e := range a.endpoints {
		e.device.Close()
	}
}

// attach opens all queues of the device, creating it if that is wanted and needed.
func attach(cfg Config, v *view) (*attachment, error) {
	found, err := v.look(cfg.Name)
	if err != nil {
		return nil, err
	}
	if err := admit(cfg, found); err != nil {
		return nil, err
	}
	at := &attachment{name: cfg.Name}
	if err := at.open(cfg, found); err != nil {
		at.close()
		return nil, err
	}
	if err := at.settle(cfg, v, found); err != nil {
		at.close()
		return nil, fmt.Errorf("tun %s: %w", at.name, err)
	}
	return at, nil
}

// admit judges whether the device that exists, or does not, is one to attach to.
func admit(cfg Config, f facts) error {
	name := cfg.Name
	switch {
	case !f.exists && !cfg.Create:
		return fmt.Errorf("tun %s: there is no such device: make it with `ip tuntap add dev %s mode %s user NAME`, "+
			"or let it be made with tun.create: true", name, name, cfg.mode())
	case !f.exists:
		return nil
	case !f.tunTap:
		return fmt.Errorf("tun %s: the interface of that name is of kind %q, not a TUN device: choose another tun.name", name, f.kind)
	case f.tap && !cfg.tap:
		return fmt.Errorf("tun %s: the device is a TAP, which carries Ethernet frames: set tun.mode: tap, choose another tun.name, "+
			"or remove it with `ip tuntap del dev %s mode tap`", name, name)
	case !f.tap && cfg.tap:
		return fmt.Errorf("tun %s: the device is a TUN, which carries no Ethernet frames: set tun.mode: tun, choose another tun.name, "+
			"or remove it with `ip tuntap del dev %s mode tun`", name, name)
	case cfg.tap && f.mac == cfg.mac:
		return fmt.Errorf("tun %s: %v is the MAC of the kernel's side of the device, and we need one of our own: set tun.mac", name, f.mac)
	case cfg.anyQueues && f.queues > 0:
		// The driver would let us in, and give each of us the packets of some flows.
		return fmt.Errorf("tun %s: %w: another process is attached to it: stop that process, or choose another tun.name", name, unix.EBUSY)
	case cfg.Queues > 1 && !f.multiQueue && !cfg.anyQueues:
		return fmt.Errorf("tun %s: the device has a single queue, but %d are asked for: set tun.queues to auto or 1, or make the "+
			"device anew with `ip tuntap add dev %s mode tun multi_queue`", name, cfg.Queues, name)
	}
	return nil
}

// open attaches the queues. The multi-queue flag has to be the one of the device (the driver says EINVAL otherwise); with
// the first queue the virtio header is settled for all.
func (a *attachment) open(cfg Config, f facts) error {
	if cfg.tap {
		return a.openTAP(cfg, f)
	}
	flags, queues := uint16(unix.IFF_TUN|unix.IFF_NO_PI), max(cfg.Queues, 1)
	switch {
	case f.multiQueue || !f.exists && queues > 1:
		flags |= unix.IFF_MULTI_QUEUE
	case f.exists:
		queues = 1
	}
	if cfg.Offload != OffloadOff {
		flags |= unix.IFF_VNET_HDR
	}
	for range queues {
		fd, err := openQueue(a.name, flags)
		if err != nil {
			return explain(err, a.name, cfg, f)
		}
		device, name, err := wireguard.CreateUnmonitoredTUNFromFD(fd) // owns fd, also when it fails
		if err != nil {
			return fmt.Errorf("tun %s: %w", a.name, err)
		}
		conn, err := device.File().SyscallConn()
		if err != nil {
			device.Close()
			return fmt.Errorf("tun %s: %w", a.name, err)
		}
		a.name = name
		a.endpoints = append(a.endpoints, endpoint{a, device, conn})
	}
	return nil
}

// openTAP attaches the only queue of a TAP.
func (a *attachment) openTAP(cfg Config, f facts) error {
	file, err := openTAP(a.name, f)
	if err != nil {
		return explain(err, a.name, cfg, f)
	}
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return fmt.Errorf("tun %s: %w", a.name, err)
	}
	a.endpoints = append(a.endpoints, endpoint{a, file, conn})
	return nil
}

// openQueue opens one queue of the named device, which is created when there is none.
func openQueue(name string, flags uint16) (int, error) {
	request, err := unix.NewIfreq(name)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Open(cloneDevice, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, &fs.PathError{Op: "open", Path: cloneDevice, Err: err}
	}
	request.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// explain says what an operator can do about a queue that could not be opened.
func explain(err error, name string, cfg Config, f facts) error {
	hint := "see ip-tuntap(8)"
	var open *fs.PathError
	opening := errors.As(err, &open)
	switch {
	case opening && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO)):
		hint = "the driver is missing: `modprobe tun`, or give the container the device " + cloneDevice
	case opening && errors.Is(err, fs.ErrPermission) && os.Geteuid() == 0:
		// EACCES is what nodev leads to, EPERM the device rules of a container.
		hint = "not even root may open the device node: give the container the device (`--device " + cloneDevice + "`), " +
			"or mount what the node lies on without nodev"
	case opening && errors.Is(err, fs.ErrPermission):
		hint = "this user may not open the device node: its usual mode is 0666 (`chmod 0666 " + cloneDevice + "`), else run as root"
	case errors.Is(err, unix.EPERM) && f.exists:
		hint = fmt.Sprintf("the device belongs to %s: run as its owner, or make it anew with `ip tuntap add dev %s mode %s user NAME`", f.owner(), name, cfg.mode())
	case errors.Is(err, unix.EPERM):
		hint = fmt.Sprintf("creating a device needs CAP_NET_ADMIN: run as root, or make it once with `ip tuntap add dev %s mode %s user NAME`", name, cfg.mode())
	case errors.Is(err, unix.EBUSY):
		hint = "another process is attached to it, and it has a single queue: stop that process, or make the device with multi_queue"
	case errors.Is(err, unix.EINVAL) && f.exists:
		hint = "the device changed while it was looked at: try again"
	case errors.Is(err, unix.EINVAL):
		hint = "the kernel does not accept this name for an interface"
	case errors.Is(err, unix.E2BIG):
		hint = fmt.Sprintf("all %d queues of the device are in use: ask for fewer than %d with tun.queues", maxQueues, cfg.Queues+1)
	}
	return fmt.Errorf("tun %s: %w: %s", name, err, hint)
}

// settle brings device and attachment to the same understanding: offloads, then everything on the host's side.
func (a *attachment) settle(cfg Config, v *view, before facts) error {
	if err := a.agree(cfg.Offload); err != nil {
		return err
	}
	if cfg.tap && a.header {
		return errors.New("another process has the device open with virtio headers, which are not understood in mode tap: stop it")
	}
	now, err := v.look(a.name)
	if err != nil {
		return err
	}
	if before.exists && before.index != now.index && !cfg.Create {
		return errors.New("the device was deleted while attaching: try again")
	}
	a.gso.Store(a.header && probe(a.endpoints[0].conn, writeFrame))
	a.long.Store(a.gso.Load() && now.long)
	if cfg.Offload == OffloadOn && !a.gso.Load() {
		return errors.New("the kernel refuses super-packets, which offload: on insists on: set it to auto")
	}
	if cfg.Create {
		if err := v.configure(now, cfg, cfg.Logf); err != nil {
			return err
		}
		if now, err = v.look(a.name); err != nil {
			return err
		}
	}
	a.index, a.mtu, a.up, a.persistent = now.index, now.mtu, now.up, now.persistent
	return nil
}

// agree reads back what the kernel made of the flags, which another process with a queue of the same device may have
// settled before us, and sets the offloads. They stay with a persistent device, so that "none" has to be set too.
func (a *attachment) agree(mode Offload) error {
	var failed error
	for i, e := range a.endpoints {
		err := e.conn.Control(func(fd uintptr) { failed = a.agreeQueue(int(fd), mode) })
		if err = errors.Join(err, failed); err != nil {
			return fmt.Errorf("queue %d: %w", i, err)
		}
	}
	return nil
}

func (a *attachment) agreeQueue(fd int, mode Offload) error {
	request, err := unix.NewIfreq(a.name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.TUNGETIFF, request); err != nil {
		return fmt.Errorf("reading the flags of the device: %w", err)
	}
	flags := request.Uint16()
	if flags&unix.IFF_NO_PI == 0 {
		return errors.New("another process has the device open with packet information (without IFF_NO_PI): stop it")
	}
	a.header = flags&unix.IFF_VNET_HDR != 0
	if mode == OffloadOn && !a.header {
		return errors.New("another process has the device open without virtio headers, which offload: on insists on: stop it, or set offload: auto")
	}
	wanted := 0
	if a.header && mode != OffloadOff {
		wanted = offloads
	}
	if a.header {
		if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, headerLen); err != nil {
			return fmt.Errorf("setting the size of the virtio header: %w", err)
		}
	}
	if err := unix.IoctlSetInt(fd, unix.TUNSETOFFLOAD, wanted); err != nil {
		return fmt.Errorf("setting the offloads of the device: %w", err)
	}
	return nil
}

// owner names the user and group that may attach.
func (f facts) owner() string {
	switch {
	case f.gid == 0:
		return fmt.Sprintf("uid %d", f.uid)
	case f.uid == 0:
		return fmt.Sprintf("gid %d", f.gid)
	}
	return fmt.Sprintf("uid %d and gid %d", f.uid, f.gid)
}
