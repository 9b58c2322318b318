package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
)

const pingExamples = `  tcpd ping -c 3 10.77.0.1                               # through the running daemon
  sudo tcpd ping -c 3 --tun tcp1 --addr 10.78.0.2/24 10.78.0.1`

// pinging are the echo requests of one run.
type pinging struct {
	vantageFlags
	count, size    int
	interval, wait time.Duration
	out            io.Writer
	sent, received int
	least, most    time.Duration
	sum            time.Duration
}

func newPingCommand() *cobra.Command {
	p := &pinging{}
	p.addresses = standaloneAddresses
	cmd := &cobra.Command{
		Use: "ping HOST", Short: "Ping a host from an address of our own",
		Long: `Send ICMP echo requests, through a running daemon or standalone with --tun or --link, until
interrupted or as many as -c says. It fails when no answer came.`,
		Example: pingExamples, Args: oneArg("a host or an address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := p.check(); err != nil {
				return err
			}
			p.out = cmd.OutOrStdout()
			return failed(p.run(cmd.Context(), args[0], cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().IntVarP(&p.count, "count", "c", 0, "stop after `N`; 0: at an interrupt")
	cmd.Flags().IntVarP(&p.size, "size", "s", 56, "`BYTES` of payload")
	cmd.Flags().DurationVarP(&p.interval, "interval", "i", time.Second, "`TIME` between two")
	cmd.Flags().DurationVarP(&p.wait, "wait", "W", 2*time.Second, "`TIME` to wait for an answer")
	p.define(cmd)
	return cmd
}

// check refuses numbers that mean nothing, and a wait that the daemon would cut short.
func (p *pinging) check() error {
	switch {
	case p.count < 0:
		return fmt.Errorf("-c %d: give a number of requests, or 0 for no end", p.count)
	case p.size < 0:
		return fmt.Errorf("-s %d: give a number of bytes, 0 or more", p.size)
	case p.interval < 0:
		return fmt.Errorf("-i %v: give a time of 0s or more", p.interval)
	case p.wait <= 0:
		return fmt.Errorf("-W %v: give a time, like 2s", p.wait)
	case p.wait > mostAnswer && !p.own():
		return fmt.Errorf("-W %v: through the daemon an answer is waited for up to %v; with --tun or --link for longer", p.wait, mostAnswer)
	}
	return nil
}

func (p *pinging) run(ctx context.Context, name string, stderr io.Writer) error {
	to, err := lookupHost(ctx, name)
	if err != nil {
		return err
	}
	v, err := p.vantage(stderr)
	if err != nil {
		return err
	}
	defer v.close()
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	for seq := 1; p.count == 0 || seq <= p.count; seq++ {
		if err := p.once(ctx, v, to, seq); err != nil {
			return err
		}
		if seq == p.count || !sleep(ctx, p.interval) {
			break
		}
	}
	return p.summary(to)
}

func (p *pinging) once(ctx context.Context, v vantage, to netip.Addr, seq int) error {
	ctx, cancel := context.WithTimeout(ctx, p.wait)
	defer cancel()
	p.sent++
	rtt, err := v.Ping(ctx, to, p.size)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Fprintf(p.out, "no answer from %v within %v: seq=%d\n", to, p.wait, seq)
		return nil
	case errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return err
	}
	if p.received == 0 || rtt < p.least {
		p.least = rtt
	}
	p.received++
	p.most, p.sum = max(p.most, rtt), p.sum+rtt
	fmt.Fprintf(p.out, "%d bytes from %v: seq=%d time=%v\n", p.size, to, seq, rtt.Round(time.Microsecond))
	return nil
}

func (p *pinging) summary(to netip.Addr) error {
	fmt.Fprintf(p.out, "%d sent, %d received", p.sent, p.received)
	if p.received == 0 {
		fmt.Fprintln(p.out)
		return fmt.Errorf("%v does not answer", to)
	}
	mean := p.sum / time.Duration(p.received)
	fmt.Fprintf(p.out, "; round trip min %v, mean %v, max %v\n",
		p.least.Round(time.Microsecond), mean.Round(time.Microsecond), p.most.Round(time.Microsecond))
	return nil
}

// sleep waits, and returns false if ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
