package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"tcpd/service"
	"tcpd/stack"
	"tcpd/tun"
)

// Ports of the services, the same for all contenders.
const (
	portEcho    = 7
	portDiscard = 9
	portChargen = 19
	portHTTP    = 80
)

// mtu of all devices.
const mtu = 1500

// ready is what a server prints once it listens.
const ready = "ready"

// listenFunc makes a listener of a contender's TCP on a port of its address.
type listenFunc func(port uint16) (net.Listener, error)

// serve is the program inside a contender's process: tcpd's services on the contender's TCP.
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	name := flags.String("contender", "", "kernel, gvisor, tcpd or tcpd-events")
	device := flags.String("device", "", "TUN device")
	own := flags.String("own", "", "address to serve on")
	host := flags.String("host", "", "the kernel's address on the device, with the prefix's length")
	flags.Parse(args)
	address, err := netip.ParseAddr(*own)
	if err != nil {
		return err
	}
	var listen listenFunc
	switch *name {
	case "kernel":
		listen = listenKernel(address)
	case "gvisor":
		listen, err = listenGvisor(*device, address)
	case "tcpd", "tcpd-events":
		listen, err = listenTcpd(*device, *host, address)
	default:
		err = fmt.Errorf("no contender is called %q", *name)
	}
	if err != nil {
		return err
	}
	if *name == "tcpd" {
		listen = plainly(listen)
	}
	return serveAll(listen)
}

// serveAll runs the services until one fails.
func serveAll(listen listenFunc) error {
	services := []struct {
		port  uint16
		serve func(context.Context, net.Listener) error
	}{
		{portEcho, (&service.Echo{Log: say}).Serve},
		{portDiscard, (&service.Discard{Log: say}).Serve},
		{portChargen, (&service.Chargen{Log: say}).Serve},
		{portHTTP, (&service.HTTP{Log: say, Body: "Hello, World!\n"}).Serve},
	}
	ended := make(chan error)
	for _, s := range services {
		l, err := listen(s.port)
		if err != nil {
			return fmt.Errorf("port %d: %w", s.port, err)
		}
		go func() { ended <- s.serve(context.Background(), l) }()
	}
	fmt.Println(ready)
	return errors.Join(<-ended, errors.New("a service has ended"))
}

// say logs what a service has to say.
func say(_ service.Level, format string, args ...any) { log.Printf(format, args...) }

// plainly hides what tcpd's listener has beyond net.Listener, so that its services move bytes by Read and Write as on any other.
func plainly(listen listenFunc) listenFunc {
	return func(port uint16) (net.Listener, error) {
		l, err := listen(port)
		return struct{ net.Listener }{l}, err
	}
}

func listenKernel(own netip.Addr) listenFunc {
	config := net.ListenConfig{Control: cubic}
	return func(port uint16) (net.Listener, error) {
		return config.Listen(context.Background(), "tcp", netip.AddrPortFrom(own, port).String())
	}
}

// cubic sets the congestion control of a socket of the kernel: a namespace may have another default.
func cubic(_, _ string, c syscall.RawConn) (err error) {
	failure := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, "cubic")
	})
	return errors.Join(err, failure)
}

// listenTcpd starts tcpd's stack as the daemon does: with its clock, its recorder and its share of the processors.
func listenTcpd(device, host string, own netip.Addr) (listenFunc, error) {
	prefix, err := netip.ParsePrefix(host)
	if err != nil {
		return nil, err
	}
	link, err := tun.Open(tun.Config{
		Name: device, Create: true, MTU: mtu, Host: []netip.Prefix{prefix}, Offload: tun.OffloadOn, Logf: log.Printf,
	})
	if err != nil {
		return nil, err
	}
	s, err := stack.New(stack.Config{
		Link: link, Addresses: []netip.Prefix{netip.PrefixFrom(own, prefix.Bits())}, Recorder: true, Clock: stack.FineClock(),
	})
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOMAXPROCS") == "" {
		go s.Govern(runtime.GOMAXPROCS(0)) // cmd/tcpd/processors.go
	}
	return func(port uint16) (net.Listener, error) {
		return s.Listen("tcp", netip.AddrPortFrom(own, port).String())
	}, nil
}
