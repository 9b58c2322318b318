package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nobody is the unprivileged user that owns devices in these tests.
const nobody = "65534"

// addDevice makes a persistent TUN device the way an administrator does, owned by nobody, with the link's addresses.
func addDevice(t *testing.T, ns *namespace, flags ...string) {
	t.Helper()
	ns.run(t, "ip", append([]string{"tuntap", "add", "dev", "tcp0", "mode", "tun", "user", nobody, "group", nobody}, flags...)...)
	ns.run(t, "ip", "address", "add", "10.77.0.1/24", "dev", "tcp0")
	ns.run(t, "ip", "address", "add", "fd77::1/64", "dev", "tcp0")
	ns.run(t, "ip", "link", "set", "tcp0", "up")
}

// launchAs starts the daemon as a user without any capability, who may open /dev/net/tun as on an ordinary Debian.
func (d *daemon) launchAs(t *testing.T, user string) {
	t.Helper()
	line := asUser(user, builtBinary(t), "run", "--config", d.config)
	d.launch(t, line[0], line[1:]...)
}

// asUser returns the command line that runs another one as such a user.
func asUser(user string, line ...string) []string {
	const enter = `mount -t tmpfs none /dev/net && chmod 755 /dev/net && mknod -m 666 /dev/net/tun c 10 200 && exec "$@"`
	return append([]string{"unshare", "--mount", "sh", "-c", enter, "sh",
		"setpriv", "--reuid", user, "--regid", user, "--clear-groups", "--bounding-set=-all", "--no-new-privs", "--pdeathsig", "KILL"}, line...)
}

// TestAttach serves on devices that exist, with whatever properties their maker gave them, without any privilege.
func TestAttach(t *testing.T) {
	for _, flags := range [][]string{nil, {"vnet_hdr"}, {"multi_queue"}, {"vnet_hdr", "multi_queue"}} {
		t.Run("flags "+strings.Join(flags, " "), func(t *testing.T) {
			ns := newNamespace(t, "attaching to a device made with "+strings.Join(flags, " "))
			addDevice(t, ns, flags...)
			const size = 32 * miB
			d := prepare(t, ns)
			d.configure(t, settings{attach: true, services: sourceAndSink(t, ns, 15, size)})
			d.launchAs(t, nobody)
			d.waitReady(t)
			bothWays(t, ns, 15, size, true)
			d.stop(t)
			if _, err := ns.device("tcp0"); err != nil {
				t.Errorf("the administrator's device is gone after the daemon ended: %v", err)
			}
		})
	}
}

// TestQueues: with several queues the kernel may hand a connection's packets to any of them.
func TestQueues(t *testing.T) {
	ns := newNamespace(t, "a device with several queues")
	const size = 32 * miB
	start(t, ns, settings{tun: []string{"queues: 4"}, services: append(sourceAndSink(t, ns, 17, size), echoService)})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	bothWays(t, ns, 17, size, true)
	load.progress(t)
	load.stop(t)
	for number := range 200 {
		if err := shortConnection(ns, number); err != nil {
			t.Fatalf("connection %d: %v", number, err)
		}
	}
}

// TestTakeOver: with create: true a device of the right kind is taken over, and it is not ours to delete.
func TestTakeOver(t *testing.T) {
	ns := newNamespace(t, "taking over a device that exists")
	addDevice(t, ns, "vnet_hdr")
	const size = 16 * miB
	d := start(t, ns, settings{services: sourceAndSink(t, ns, 16, size)})
	bothWays(t, ns, 16, size, true)
	d.stop(t)
	if _, err := ns.device("tcp0"); err != nil {
		t.Errorf("the administrator's device is gone after the daemon ended: %v", err)
	}
}

// TestUnusableDevice: what cannot be used is a run-time failure that names the device, and stays as it is.
func TestUnusableDevice(t *testing.T) {
	fails := func(t *testing.T, ns *namespace, name string, s settings) {
		t.Helper()
		d := prepare(t, ns)
		d.configure(t, s)
		d.launch(t, builtBinary(t), "--tun", name, "--config", d.config)
		d.wantExit(t, 1)
		d.wantLog(t, 0, name)
		t.Logf("the daemon said:\n%s", d.log.excerpt())
	}
	for _, name := range []string{"tap0", "lo"} {
		t.Run("wrong kind "+name, func(t *testing.T) {
			ns := newNamespace(t, "a device of another kind")
			ns.run(t, "ip", "tuntap", "add", "dev", "tap0", "mode", "tap")
			fails(t, ns, name, settings{services: []string{echoService}})
			fails(t, ns, name, settings{attach: true, services: []string{echoService}})
			if _, err := ns.device(name); err != nil {
				t.Error("the device of another kind was deleted")
			}
		})
	}
	t.Run("missing", func(t *testing.T) {
		fails(t, newNamespace(t, "a device that is not there"), "tcp0", settings{attach: true, services: []string{echoService}})
	})
	t.Run("busy", func(t *testing.T) {
		ns := newNamespace(t, "a device that another daemon has")
		start(t, ns, settings{services: []string{echoService}})
		fails(t, ns, "tcp0", settings{services: []string{echoService}})
		if err := shortConnection(ns, 0); err != nil {
			t.Errorf("the first daemon, after the second has failed: %v", err)
		}
	})
}

// TestLinkDown: connections survive a link that is down for a while, over IPv6 too, though the kernel takes its address off the link.
func TestLinkDown(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "a link that goes down and up under load")
	start(t, ns, settings{services: []string{echoService}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	load.progress(t)
	ns.run(t, "ip", "link", "set", "tcp0", "down")
	time.Sleep(2 * time.Second) // the fault
	ns.run(t, "ip", "link", "set", "tcp0", "up")
	load.progress(t)
	load.stop(t)
}

// TestDeviceReturns: an administrator's device is deleted under load and made again. The daemon attaches again, and the
// connections go on.
func TestDeviceReturns(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "a device that is deleted and made again under load")
	addDevice(t, ns)
	d := start(t, ns, settings{attach: true, services: []string{echoService}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	load.progress(t)
	seen := len(d.log.String())
	ns.run(t, "ip", "link", "delete", "tcp0")
	time.Sleep(2 * time.Second) // the fault
	if !d.running() {
		t.Fatalf("the daemon ended with %v instead of waiting for its device", d.cmd.ProcessState)
	}
	d.wantLog(t, seen, "tcp0")
	addDevice(t, ns)
	load.progress(t)
	load.stop(t)
}

// TestDeviceDeleted: the device that the daemon made is deleted under load. It makes it again, or waits for somebody to do so,
// or exits with the reason; whatever it does it says so, and a SIGTERM ends it.
func TestDeviceDeleted(t *testing.T) {
	t.Parallel()
	ns := newNamespace(t, "a device that is deleted under load")
	d := start(t, ns, settings{drain: "1s", services: []string{echoService}})
	load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
	load.progress(t)
	seen := len(d.log.String())
	ns.run(t, "ip", "link", "delete", "tcp0")
	d.wantLog(t, seen, "tcp0")
	back := func() bool { _, err := ns.device("tcp0"); return err == nil }
	deadline := time.Now().Add(5 * time.Second)
	for d.running() && !back() && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
	switch {
	case !d.running():
		d.wantExit(t, 1)
		t.Log("the daemon exited")
	case back():
		load.progress(t)
		load.stop(t)
		t.Log("the daemon made the device again")
	default:
		t.Log("the daemon waits for the device")
		began := time.Now()
		d.signal(t, syscall.SIGTERM)
		d.wantExit(t, 0)
		t.Logf("it ended %v after SIGTERM", time.Since(began).Round(time.Millisecond))
	}
	load.abandon()
	t.Logf("the daemon said:\n%s", d.log.String()[seen:])
}

// TestDeviceStaysAway: the device that the daemon is attached to never comes back. SIGTERM ends the wait for it; without one the
// daemon gives up after a minute, with the reason.
func TestDeviceStaysAway(t *testing.T) {
	t.Parallel()
	for _, terminate := range []bool{true, false} {
		t.Run(fmt.Sprintf("terminate %v", terminate), func(t *testing.T) {
			t.Parallel()
			ns := newNamespace(t, "a device that is deleted for good")
			addDevice(t, ns)
			d := start(t, ns, settings{drain: "1s", attach: true, services: []string{echoService}})
			load := runLoad(t, ns, address("10.77.0.2", 7), address("fd77::2", 7))
			load.progress(t)
			defer load.abandon()
			seen := len(d.log.String())
			ns.run(t, "ip", "link", "delete", "tcp0")
			d.wantLog(t, seen, "tcp0")
			if terminate {
				d.signal(t, syscall.SIGTERM)
				d.wantExit(t, 0)
				return
			}
			next(t, d.ended, "the daemon's end")
			d.wantExit(t, 1)
			t.Logf("the daemon said:\n%s", d.log.String()[seen:])
		})
	}
}
