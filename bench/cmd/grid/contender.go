package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/bench/internal/link"
	"tcpd/bench/internal/netns"
)

// contender is a TCP behind a link of its own from the client's namespace.
type contender struct {
	name    string
	link    *link.Emulator
	server  netip.Addr
	chargen map[string]uint16 // the port that sends with a congestion control
	watch   []watched         // devices that must not drop
	pid     int               // of its process, 0: it is in the kernel
	close   func()
}

// watched is a device of a namespace.
type watched struct {
	ns     *netns.Namespace
	device string
}

// dropped returns what the devices around the link have dropped so far: losses that the emulator did not mean.
func (c *contender) dropped() (n uint64) {
	for _, w := range c.watch {
		if d, err := w.ns.Dropped(w.device); err == nil {
			n += d
		}
	}
	return n
}

const (
	mtu         = 1500
	deviceQueue = 20_000 // packets a device holds while the emulator is busy: more than any sender's burst
	portDiscard = 9
	portChargen = 19 // of the first congestion control; the others follow
)

// chargenPorts gives each congestion control a port that sends with it.
func chargenPorts(congestions []string) map[string]uint16 {
	ports := map[string]uint16{}
	for i, name := range congestions {
		ports[name] = uint16(portChargen + i)
	}
	return ports
}

// newNamespace makes a namespace whose buffers hold no sender back and which remembers nothing between samples.
func newNamespace() (*netns.Namespace, error) {
	ns, err := netns.New()
	if err != nil {
		return nil, err
	}
	for _, s := range [][2]string{
		{"net.ipv4.tcp_rmem", "4096 131072 33554432"},
		{"net.ipv4.tcp_wmem", "4096 65536 33554432"},
		{"net.ipv4.tcp_no_metrics_save", "1"},
		{"net.ipv4.ip_forward", "1"},
		{"net.ipv6.conf.all.forwarding", "1"},
		{"net.ipv4.conf.all.rp_filter", "0"},
		{"net.ipv4.conf.default.rp_filter", "0"},
		{"net.ipv4.ip_local_port_range", "1024 9999"},
	} {
		if err := ns.Set(s[0], s[1]); err != nil {
			return nil, err
		}
	}
	return ns, nil
}

// joined makes an emulator between a new device in each namespace; net is the number of their network.
func joined(client, server *netns.Namespace, network int) (*link.Emulator, []watched, error) {
	name := fmt.Sprintf("link%d", network)
	var fds [2]int
	for side, ns := range []*netns.Namespace{client, server} {
		fd, err := ns.Tun(name, mtu, deviceQueue,
			fmt.Sprintf("10.98.%d.%d/24", network, side+1), fmt.Sprintf("fd98:%d::%d/64", network, side+1))
		if err != nil {
			return nil, nil, err
		}
		fds[side] = fd
	}
	e, err := link.New(fds[link.Client], fds[link.Server])
	return e, []watched{{client, name}, {server, name}}, err
}

// newLinux starts the kernel's TCP as contender.
func newLinux(client *netns.Namespace, o *options) (*contender, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	e, watch, err := joined(client, ns, 1)
	if err != nil {
		return nil, err
	}
	c := &contender{
		name: "linux", link: e, watch: watch, server: address(o.v6, "10.98.1.2", "fd98:1::2"), chargen: chargenPorts(o.congestions),
	}
	// A receiver's congestion control sends nothing, so one discard serves all.
	discard, err := listen(ns, netip.AddrPortFrom(c.server, portDiscard), o.congestions[0], receive)
	if err != nil {
		return nil, err
	}
	listeners := []net.Listener{discard}
	for name, port := range c.chargen {
		l, err := listen(ns, netip.AddrPortFrom(c.server, port), name, send)
		if err != nil {
			return nil, err
		}
		listeners = append(listeners, l)
	}
	c.close = func() {
		for _, l := range listeners {
			l.Close()
		}
		e.Close()
		ns.Close()
	}
	return c, nil
}

func address(v6 bool, four, six string) netip.Addr {
	if v6 {
		return netip.MustParseAddr(six)
	}
	return netip.MustParseAddr(four)
}

// listen serves connections of the kernel's TCP in a namespace, with a congestion control.
func listen(ns *netns.Namespace, at netip.AddrPort, congestion string, serve func(net.Conn)) (l net.Listener, err error) {
	config := net.ListenConfig{Control: setCongestion(congestion)}
	err = ns.Do(func() error {
		l, err = config.Listen(context.Background(), "tcp", at.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serve(conn)
		}
	}()
	return l, nil
}

func setCongestion(name string) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) (err error) {
		failure := c.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, name)
		})
		if err != nil {
			return fmt.Errorf("congestion control %q (see net.ipv4.tcp_available_congestion_control): %w", name, err)
		}
		return failure
	}
}

// send writes until the connection breaks, in the same pieces as tcpd's chargen.
func send(conn net.Conn) {
	defer conn.Close()
	for b := make([]byte, 256<<10); ; {
		if _, err := conn.Write(b); err != nil {
			return
		}
	}
}

func receive(conn net.Conn) {
	defer conn.Close()
	io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{conn}, make([]byte, 256<<10))
}

const configuration = `tun: {name: tcp0, host: [10.98.3.1/24, "fd98:3::1/64"]}
addresses: [10.98.3.2/24, "fd98:3::2/64"]
services:
  - {name: discard, listen: ":%d", discard: {}}
%stcp: {congestion: %s%s}
control: {socket: ""}
metrics: {listen: "127.0.0.1:9320"}
log: {level: warn}
`

// newTcpd starts tcpd in a namespace that forwards between the link and tcpd's device.
func newTcpd(client *netns.Namespace, dir string, o *options) (*contender, error) {
	ns, err := newNamespace()
	if err != nil {
		return nil, err
	}
	e, watch, err := joined(client, ns, 2)
	if err != nil {
		return nil, err
	}
	for _, route := range [][]string{
		{"route", "add", "10.98.3.0/24", "via", "10.98.2.2"}, {"-6", "route", "add", "fd98:3::/64", "via", "fd98:2::2"},
	} {
		if err := client.Run("ip", route...); err != nil {
			return nil, err
		}
	}
	file := filepath.Join(dir, "tcpd.yaml")
	settings := ""
	if o.settings != "" {
		settings = ", " + o.settings
	}
	ports, senders := chargenPorts(o.congestions), ""
	for name, port := range ports {
		senders += fmt.Sprintf("  - {name: %s, listen: \":%d\", chargen: {}, tcp: {congestion: %s}}\n", name, port, name)
	}
	text := fmt.Sprintf(configuration, portDiscard, senders, o.congestions[0], settings)
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return nil, err
	}
	// The kernel's TCP works in interrupts and in the emulator's real-time thread: other processes never keep it waiting.
	cmd := exec.Command("chrt", "--rr", "1", o.binary, "--tun", "tcp0", "--config", file)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := ns.Start(cmd); err != nil {
		return nil, err
	}
	c := &contender{
		name: "tcpd", link: e, server: address(o.v6, "10.98.3.2", "fd98:3::2"), chargen: ports,
		watch: append(watch, watched{ns, "tcp0"}), pid: cmd.Process.Pid,
	}
	c.close = func() {
		stop(cmd)
		e.Close()
		ns.Close()
	}
	return c, c.ready(client)
}

// ready waits until the contender accepts.
func (c *contender) ready(client *netns.Namespace) (err error) {
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		var conn net.Conn
		err = client.Do(func() error {
			conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(c.server, portDiscard).String(), time.Second)
			return err
		})
		if err == nil {
			return conn.Close()
		}
	}
	return fmt.Errorf("%s does not answer: %w", c.name, err)
}

// stop ends a process that we started.
func stop(cmd *exec.Cmd) {
	cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(2*time.Second, func() { cmd.Process.Kill() })
	cmd.Wait()
	kill.Stop()
}
