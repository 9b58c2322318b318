package netns

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Tun creates a TUN device in the namespace, up, with addresses, and returns its descriptor. The device goes when the
// descriptor is closed. Offloads are off: the kernel hands over packets of at most mtu bytes with complete checksums, also
// when a sender on its side made super-packets. The device holds queue packets for a reader that is late.
func (ns *Namespace) Tun(name string, mtu, queue int, addresses ...string) (fd int, err error) {
	if err = ns.Do(func() error { fd, err = openTun(name); return err }); err != nil {
		return -1, fmt.Errorf("cannot create the TUN device %s: %w", name, err)
	}
	steps := [][]string{{"link", "set", name, "mtu", strconv.Itoa(mtu), "txqueuelen", strconv.Itoa(queue)}}
	for _, a := range addresses {
		steps = append(steps, []string{"address", "add", a, "dev", name, "nodad"})
	}
	steps = append(steps, []string{"link", "set", name, "up"})
	for _, s := range steps {
		if err := ns.Run("ip", s...); err != nil {
			unix.Close(fd)
			return -1, err
		}
	}
	return fd, nil
}

// Join makes a veth pair with one end of the same name in each of two namespaces, both down and without addresses.
func (ns *Namespace) Join(other *Namespace, name string) error {
	there := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), other.fd)
	return ns.Run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", there)
}

// openTun opens a TUN queue without blocking reads.
func openTun(name string) (int, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return -1, err
	}
	var request struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}
	copy(request.name[:unix.IFNAMSIZ-1], name)
	request.flags = unix.IFF_TUN | unix.IFF_NO_PI
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request))); e != 0 {
		unix.Close(fd)
		return -1, e
	}
	return fd, nil
}

// Dropped returns how many packets a device of the namespace has dropped on the way out, which for a TUN device means towards
// its reader.
func (ns *Namespace) Dropped(device string) (n uint64, err error) {
	err = ns.Do(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		n, err = transmitDrops(string(table), device)
		return err
	})
	return n, err
}

// transmitDrops finds a device in the table of proc_net_dev: eight counters of the receiver, then bytes, packets, errs, drop.
func transmitDrops(table, device string) (uint64, error) {
	for line := range strings.Lines(table) {
		name, counters, ok := strings.Cut(strings.TrimSpace(line), ":")
		if f := strings.Fields(counters); ok && name == device && len(f) >= 12 {
			return strconv.ParseUint(f[11], 10, 64)
		}
	}
	return 0, fmt.Errorf("no device %s", device)
}
