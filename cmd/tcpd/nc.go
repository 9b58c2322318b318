package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

const ncExamples = `  printf hi | tcpd nc 10.77.0.1 7                       # through the running daemon
  printf hi | sudo tcpd nc --tun tcp1 --addr 10.78.0.2/24 10.78.0.1 7`

func newNcCommand() *cobra.Command {
	f := &vantageFlags{}
	f.addresses = standaloneAddresses
	cmd := &cobra.Command{
		Use: "nc HOST PORT", Short: "Connect the standard input and output to a port, over a TCP of our own",
		Long: `Connect over a TCP of tcpd's own, through a running daemon or standalone with --tun or --link. The
standard input is sent, then FIN; what comes is printed until the other side's FIN.`,
		Example: ncExamples, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if n, err := strconv.Atoi(args[1]); err == nil && (n < 1 || n > 65535) {
				return fmt.Errorf("%d is not a port: ports are the numbers 1 to 65535", n)
			}
			return failed(nc(cmd.Context(), f, net.JoinHostPort(args[0], args[1]), cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()))
		},
	}
	f.define(cmd)
	return cmd
}

func nc(ctx context.Context, f *vantageFlags, to string, in io.Reader, out, stderr io.Writer) error {
	v, err := f.vantage(stderr)
	if err != nil {
		return err
	}
	defer v.close()
	dialing, cancel := context.WithTimeout(ctx, f.timeout)
	conn, err := v.DialContext(dialing, "tcp", to)
	cancel()
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() {
		_, err := io.Copy(struct{ io.Writer }{conn}, in)
		if err == nil {
			err = conn.(interface{ CloseWrite() error }).CloseWrite()
		}
		sent <- err
	}()
	_, err = io.Copy(out, struct{ io.Reader }{conn})
	if err == nil {
		select {
		case err = <-sent:
		default: // the other side has closed, whatever the input still has
		}
	}
	_ = conn.Close()
	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v.settle(closing)
	return err
}
