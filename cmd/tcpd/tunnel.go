package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"tcpd/config"
	"tcpd/tun"
)

const tunnelAbout = `Join a TUN device of this host to a link over UDP: what the kernel routes to the device reaches the
tcpd at the other end of the link, which needs neither device nor privilege, and back.`

const tunnelExamples = `  sudo tcpd tunnel --tun tcp0 --host 10.77.0.1/24 --link udp:192.0.2.1:7001,198.51.100.1:7001
  tcpd --link udp:198.51.100.1:7001,192.0.2.1:7001      # over there; then here: curl http://10.77.0.2/`

func newTunnelCommand() *cobra.Command {
	var device, link string
	var host []string
	var anyPeer bool
	cmd := &cobra.Command{
		Use: "tunnel --tun NAME --link udp:LOCAL,REMOTE", Short: "Join a TUN device to a link over UDP", Long: tunnelAbout,
		Example: tunnelExamples, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if device == "" || link == "" {
				return errors.New("a tunnel has two ends: give --tun NAME and --link udp:LOCAL,REMOTE")
			}
			return failed(tunnel(cmd.Context(), cmd.ErrOrStderr(), device, host, link, anyPeer))
		},
	}
	f := cmd.Flags()
	f.StringVar(&device, "tun", "", "`NAME` of the device, made if need be")
	f.StringSliceVar(&host, "host", []string{"10.77.0.1/24", "fd77::1/64"}, "`ADDRESS/LENGTH` of the kernel's side, may be repeated")
	f.StringVar(&link, "link", "", "`udp:LOCAL,REMOTE`")
	f.BoolVar(&anyPeer, "link-any", false, "take packets of the link from everybody, and send to whoever was heard last")
	f.SortFlags = false
	return cmd
}

// tunnel runs until a signal to end.
func tunnel(ctx context.Context, stderr io.Writer, device string, host []string, link string, anyPeer bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	log := newLogger(stderr, "info", "console", false)
	udp, err := openTunnelLink(link, anyPeer, log)
	if err != nil {
		return err
	}
	d, err := openTunnelDevice(device, host, udp.MTU(), log)
	if err != nil {
		return errors.Join(err, udp.Close())
	}
	f := tun.Forward(d, udp)
	stopped := context.AfterFunc(ctx, func() { _ = f.Close() })
	defer stopped()
	log.Info(fmt.Sprintf("ready: packets of %s go through %s, %d bytes at most", d.Name(), udp.Name(), udp.MTU()))
	if err := f.Run(); ctx.Err() == nil {
		return err
	}
	return nil
}

func openTunnelDevice(name string, host []string, mtu int, log *logger) (*tun.Device, error) {
	c := tun.Config{Name: name, Create: true, MTU: min(1500, mtu), Logf: log.warnf("tun")}
	for _, text := range host {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("--host %s: write an address and its prefix length, like 10.77.0.1/24", text)
		}
		c.Host = append(c.Host, p)
	}
	return tun.Open(c)
}

func openTunnelLink(link string, anyPeer bool, log *logger) (tun.Carrier, error) {
	flags := []config.Flag{{Name: "--link", Key: "link", Values: []string{link}}}
	if anyPeer {
		flags = append(flags, config.Flag{Name: "--link-any", Key: "link.udp.any", Values: []string{"true"}})
	}
	c, err := config.Parse("the command line", []byte("services: []\ncontrol: {socket: ''}\n"), flags...)
	if err != nil {
		return nil, err
	}
	return openLink(c, log.warnf("link"))
}
