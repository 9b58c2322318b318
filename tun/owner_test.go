package tun

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// helperVariable tells this program, started once more, what to do instead of the tests.
const helperVariable = "TCPD_TUN_TEST_HELPER"

const stranger = 65534

// runHelper opens the device as the environment says, and prints what came of it.
func runHelper(what string) int {
	cfg := Config{Name: testName, Logf: func(f string, args ...any) { fmt.Printf(f+"\n", args...) }}
	switch what {
	case "attach":
	case "create":
		cfg.Create = true
	case "create with addresses":
		cfg.Create, cfg.MTU = true, 1400
		cfg.Host = []netip.Prefix{netip.MustParsePrefix("10.77.0.1/24"), netip.MustParsePrefix("fd77::1/64")}
	}
	d, err := Open(cfg)
	if err != nil {
		fmt.Println("error:", err)
		return 0
	}
	defer d.Close()
	s := d.Stats()
	fmt.Printf("open: MTU %d, GSO %v, persistent %v\n", d.MTU(), s.GSO, s.Persistent)
	return 0
}

// asStranger runs the helper as a user without any capability.
func asStranger(t *testing.T, what string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVariable+"="+what, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: stranger, Gid: stranger}, Pdeathsig: unix.SIGKILL,
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("the helper ended with %v: %s", err, out)
	}
	return string(out)
}

func TestOwnerNeedsNoCapability(t *testing.T) {
	needRoot(t, "attaching to a device owned by an unprivileged user")
	for _, kind := range []uint16{0, unix.IFF_MULTI_QUEUE, unix.IFF_VNET_HDR} {
		persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|kind, stranger)
		prepare(t, setUp(t))
		for _, how := range []string{"attach", "create", "create with addresses"} {
			if got, want := asStranger(t, how), "open: MTU 1400, GSO true, persistent true\n"; got != want {
				t.Errorf("%s, flags %#x: %q, want %q", how, kind, got, want)
			}
		}
		remove(testName)
	}
}

func TestErrorsSayWhichSideToChange(t *testing.T) {
	needRoot(t, "what is said about devices that cannot be attached to")
	stranger := func(how string) func() error {
		return func() error { return errors.New(asStranger(t, how)) }
	}
	open := func(change func(*Config)) func() error {
		return func() error {
			cfg := setUp(t)
			change(&cfg)
			d, err := Open(cfg)
			if err == nil {
				d.Close()
				return errors.New("opened")
			}
			return err
		}
	}
	tun := uint16(unix.IFF_TUN | unix.IFF_NO_PI)
	for _, tt := range []struct {
		name  string
		make  func()
		open  func() error
		wants []string
	}{
		{"nothing there", nil, open(func(c *Config) { c.Create = false }), []string{"no such device", "tun.create: true"}},
		{"nothing there, stranger", nil, stranger("create"), []string{"CAP_NET_ADMIN", "ip tuntap add dev tcptest0 mode tun user"}},
		{"no TUN", nil, open(func(c *Config) { c.Name = "lo" }), []string{"not a TUN", "tun.name"}},
		{"a TAP", func() { persist(t, testName, unix.IFF_TAP|unix.IFF_NO_PI, 0) }, open(func(*Config) {}), []string{"TAP", "ip tuntap del"}},
		{"single queue", func() { persist(t, testName, tun, 0) }, open(func(c *Config) { c.Queues = 2 }), []string{"single queue", "tun.queues", "multi_queue"}},
		{"not the owner", func() { persist(t, testName, tun, 1234) }, stranger("attach"), []string{"belongs to uid 1234", "not permitted"}},
		{"no owner", func() { persist(t, testName, tun, 0) }, stranger("attach"), []string{"open: "}}, // is anybody's
		{"no addresses yet", func() { persist(t, testName, tun, 65534) }, stranger("create with addresses"), []string{"MTU is 1500 and should be 1400", "CAP_NET_ADMIN", "tun.create: false"}},
		{"a bad name", nil, open(func(c *Config) { c.Name = "a/b" }), []string{"does not accept this name"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.make != nil {
				tt.make()
			}
			got := tt.open().Error()
			for _, w := range tt.wants {
				if !strings.Contains(got, w) {
					t.Errorf("the error is %q, and does not say %q", got, w)
				}
			}
			remove(testName)
		})
	}
}

func TestBusySingleQueue(t *testing.T) {
	needRoot(t, "a device that another process has open")
	d := mustOpen(t, setUp(t))
	if _, err := Open(setUp(t)); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "multi_queue") {
		t.Errorf("the second to open got %v, want EBUSY and what to do", err)
	}
	d.Close()
	mustOpen(t, setUp(t))
}

// A device with several queues lets everybody in. Who did not ask for that is not to share its flows with another one.
func TestBusyMultiQueue(t *testing.T) {
	needRoot(t, "a device with several queues that another process has open")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI|unix.IFF_VNET_HDR|unix.IFF_MULTI_QUEUE, 0)
	cfg := setUp(t)
	cfg.Queues = 0
	d := mustOpen(t, cfg)
	if _, err := Open(cfg); !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "stop that process") {
		t.Errorf("the second to open got %v, want EBUSY and what to do", err)
	}
	asked := setUp(t)
	asked.Queues = 2
	mustOpen(t, asked).Close()
	d.Close()
	mustOpen(t, cfg)
}

func TestDeviceNodeTrouble(t *testing.T) {
	needRoot(t, "a device node that is missing or closed to the user")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI, stranger)
	if err := os.Chmod(cloneDevice, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(cloneDevice, 0o666) })
	if got := asStranger(t, "attach"); !strings.Contains(got, "chmod 0666 /dev/net/tun") {
		t.Errorf("a node of mode 0600: %q", got)
	}
	if err := os.Rename(cloneDevice, cloneDevice+"-away"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Rename(cloneDevice+"-away", cloneDevice) })
	if got := asStranger(t, "attach"); !strings.Contains(got, "modprobe tun") {
		t.Errorf("no node: %q", got)
	}
}

// With the node in its place and root before it, what is missing is the driver, or a permission that root cannot give itself.
func TestDeviceNodeTroubleOfRoot(t *testing.T) {
	needRoot(t, "a device node without driver, or on a file system without devices")
	open := func() string {
		d, err := Open(setUp(t))
		if err == nil {
			d.Close()
			return "opened"
		}
		return err.Error()
	}
	remount := func(flags uintptr) {
		if err := unix.Mount("", filepath.Dir(cloneDevice), "", unix.MS_REMOUNT|unix.MS_BIND|flags, ""); err != nil {
			t.Fatal(err)
		}
	}
	remount(unix.MS_NODEV)
	got := open()
	remount(0)
	if !strings.Contains(got, "--device /dev/net/tun") || !strings.Contains(got, "nodev") || strings.Contains(got, "run as root") {
		t.Errorf("a mount without devices: %q", got)
	}
	if err := os.Rename(cloneDevice, cloneDevice+"-away"); err != nil {
		t.Fatal(err)
	}
	defer os.Rename(cloneDevice+"-away", cloneDevice)
	for _, number := range []uint64{unix.Mkdev(10, 251), unix.Mkdev(4095, 1)} { // ENODEV, ENXIO
		if err := unix.Mknod(cloneDevice, unix.S_IFCHR|0o666, int(number)); err != nil {
			t.Fatal(err)
		}
		if got := open(); !strings.Contains(got, "modprobe tun") {
			t.Errorf("a node without driver: %q", got)
		}
		os.Remove(cloneDevice)
	}
}

func TestFailedOpensLeaveNoFiles(t *testing.T) {
	needRoot(t, "open files after failures")
	persist(t, testName, unix.IFF_TUN|unix.IFF_NO_PI, 0)
	cycle := func() {
		bad := setUp(t)
		bad.Queues = 2
		if _, err := Open(bad); err == nil {
			t.Fatal("a single-queue device opened with two queues")
		}
		first := mustOpen(t, setUp(t))
		if _, err := Open(setUp(t)); err == nil {
			t.Fatal("a busy device was opened")
		}
		first.Close()
	}
	cycle()
	before := openFiles(t)
	for range 20 {
		cycle()
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d files are open, %d were before", after, before)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}
