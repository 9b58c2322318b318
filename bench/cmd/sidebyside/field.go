package main

import (
	"bufio"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"tcpd/bench/internal/netns"
)

// field is the client's namespace with the contenders around it.
type field struct {
	client     *netns.Namespace
	server     *netns.Namespace // of the kernel as contender
	contenders []*contender
}

// contender is a TCP that serves on an address of its own.
type contender struct {
	name    string
	server  netip.Addr
	sources []netip.Addr // the client's addresses on the way there
	process *exec.Cmd
}

// newField starts the contenders. Each has a network of its own: 10.99.N.0/24, the client at .1, the contender at .2.
func newField(names []string) (f *field, err error) {
	f = &field{}
	for _, ns := range []**netns.Namespace{&f.client, &f.server} {
		if *ns, err = netns.New(); err != nil {
			return nil, err
		}
		// Connections that have ended hold their ports for a minute.
		if err = (*ns).Set("net.ipv4.ip_local_port_range", "1024 65535"); err != nil {
			return nil, err
		}
	}
	for i, name := range names {
		c, err := f.add(name, i+1)
		if err != nil {
			f.close()
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		f.contenders = append(f.contenders, c)
	}
	return f, nil
}

// sourceCount is how many addresses the client has for each contender.
const sourceCount = 8

// add makes the contender's device, starts its process and waits until that listens.
func (f *field) add(name string, network int) (*contender, error) {
	c := &contender{name: name, server: netip.AddrFrom4([4]byte{10, 99, byte(network), 2})}
	device := fmt.Sprintf("bench%d", network)
	own := fmt.Sprintf("10.99.%d.1/24", network)
	home := f.client
	var steps [][]string
	switch name {
	case "kernel":
		home = f.server
		if err := f.joinServer(device, c.server); err != nil {
			return nil, err
		}
		steps = [][]string{{"address", "add", own, "dev", device}, {"link", "set", device, "up"}}
	case "gvisor":
		steps = [][]string{
			{"tuntap", "add", "dev", device, "mode", "tun", "vnet_hdr"}, {"link", "set", device, "mtu", fmt.Sprint(mtu)},
			{"address", "add", own, "dev", device}, {"link", "set", device, "up"},
		}
	}
	for _, s := range steps {
		if err := f.client.Run("ip", s...); err != nil {
			return nil, err
		}
	}
	if err := c.start(home, "serve", "-contender", name, "-device", device, "-own", c.server.String(), "-host", own); err != nil {
		return nil, err
	}
	for i := range sourceCount {
		source := netip.AddrFrom4([4]byte{10, 99, byte(network), byte(100 + i)})
		if err := f.client.Run("ip", "address", "add", source.String()+"/24", "dev", device); err != nil {
			c.stop()
			return nil, err
		}
		c.sources = append(c.sources, source)
	}
	return c, nil
}

// joinServer makes a veth between the client's namespace and the kernel contender's.
func (f *field) joinServer(device string, server netip.Addr) error {
	if err := f.client.Join(f.server, device); err != nil {
		return err
	}
	for _, s := range [][]string{{"address", "add", server.String() + "/24", "dev", device}, {"link", "set", device, "up"}} {
		if err := f.server.Run("ip", s...); err != nil {
			return err
		}
	}
	return nil
}

// start runs this program again as the contender's process.
func (c *contender) start(home *netns.Namespace, args ...string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.process = exec.Command(self, args...)
	c.process.Stderr = os.Stderr
	out, err := c.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := home.Start(c.process); err != nil {
		return err
	}
	listening := make(chan bool, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		listening <- strings.TrimSpace(line) == ready
	}()
	select {
	case ok := <-listening:
		if ok {
			return nil
		}
		err = errors.New("its process ended before it listened")
	case <-time.After(10 * time.Second):
		err = errors.New("does not listen after 10 s")
	}
	c.stop()
	return err
}

// stop ends the process that we started.
func (c *contender) stop() {
	c.process.Process.Kill() // nothing of it is worth saving
	c.process.Wait()
}

func (f *field) close() {
	for _, c := range f.contenders {
		c.stop()
	}
	f.client.Close()
	f.server.Close()
}
