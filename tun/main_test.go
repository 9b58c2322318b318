package tun

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// insideVariable marks the process that runs in namespaces of its own, and the helpers it starts.
const insideVariable = "TCPD_TUN_TEST_INSIDE"

// TestMain runs the tests once more in a network and a mount namespace of their own when it may, so that devices can be
// made and broken without anybody noticing. Nothing is left behind: the namespaces go with the process.
func TestMain(m *testing.M) {
	if helper := os.Getenv(helperVariable); helper != "" {
		os.Exit(runHelper(helper))
	}
	if os.Getuid() == 0 && os.Getenv(insideVariable) == "" {
		os.Exit(rerun())
	}
	if os.Getenv(insideVariable) == "bare" {
		if err := furnish(); err != nil {
			fmt.Fprintln(os.Stderr, "setting up the namespaces of the test:", err)
			os.Exit(1)
		}
		os.Setenv(insideVariable, "furnished") // fuzzing starts this program again
	}
	os.Exit(m.Run())
}

// rerun starts this program again in new namespaces and returns its exit code.
func rerun() int {
	runtime.LockOSThread() // the signal at the death of the parent is one at the death of its thread
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideVariable+"=bare")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	err := cmd.Run()
	if cmd.ProcessState == nil || !cmd.ProcessState.Exited() {
		fmt.Fprintln(os.Stderr, "running the tests in their own namespaces:", err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}

// furnish gives the mount namespace a sysfs that shows our network, and a device node that anybody may open.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	if err := unix.Mount("sysfs", "/sys", "sysfs", 0, ""); err != nil {
		return fmt.Errorf("mounting sysfs: %w", err)
	}
	if err := unix.Mount("tmpfs", "/dev/net", "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("mounting over /dev/net: %w", err)
	}
	if err := unix.Mknod(cloneDevice, unix.S_IFCHR, int(unix.Mkdev(10, 200))); err != nil {
		return fmt.Errorf("making %s: %w", cloneDevice, err)
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("setting up the loopback: %w", err)
	}
	return os.Chmod(cloneDevice, 0o666)
}

// needRoot skips a test that makes devices.
func needRoot(tb testing.TB, untested string) {
	tb.Helper()
	if os.Getuid() != 0 {
		tb.Skipf("not root, so not tested: %s", untested)
	}
}
