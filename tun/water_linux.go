package tun

import (
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// openTAP opens a TAP device through songgao/water, and keeps its habits from doing harm. The package sets the persistence of
// whatever it opens, so that it has to be told what the device is already, or it would delete an administrator's device on
// close. It loses a descriptor for each open that fails: whether it would fail is tried out first, by code of our own. It cuts
// off names that are too long, which Config.check refuses, and forgets close-on-exec.
func openTAP(name string, f facts) (*os.File, error) {
	if strings.Contains(name, "%") {
		return nil, fmt.Errorf("tun %s: a TAP device needs a name without a number to be chosen", name)
	}
	if err := tryTAP(name, f); err != nil {
		return nil, err
	}
	syscall.ForkLock.RLock() // no program is started until the descriptor is marked
	defer syscall.ForkLock.RUnlock()
	device, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name, Persist: f.persistent, MultiQueue: f.multiQueue},
	})
	if err != nil {
		return nil, err
	}
	file, ok := device.ReadWriteCloser.(*os.File)
	if !ok || device.Name() != name {
		device.Close()
		return nil, fmt.Errorf("tun %s: songgao/water opened %s, as a %T", name, device.Name(), device.ReadWriteCloser)
	}
	if err := closeOnExec(file); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// tryTAP opens the device as water will, and closes it again.
func tryTAP(name string, f facts) error {
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if f.multiQueue {
		flags |= unix.IFF_MULTI_QUEUE
	}
	fd, err := openQueue(name, flags)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func closeOnExec(file *os.File) error {
	conn, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return conn.Control(func(fd uintptr) { unix.CloseOnExec(int(fd)) })
}
