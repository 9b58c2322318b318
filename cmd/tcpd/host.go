package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"tcpd/config"
	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// hostFlags say through which link a command speaks TCP, and from which addresses.
type hostFlags struct {
	addresses string // the default, as in the configuration
	cmd       *cobra.Command
	impair    string
	trace     bool
	timeout   time.Duration
}

// hostKeys are the keys of the configuration that the flags stand for.
var hostKeys = []struct {
	flag, key, usage string
	list             bool
}{
	{"link", "link", "`udp:LOCAL,REMOTE`: packets inside UDP datagrams, without root", false},
	{"link-any", "link.udp.any", "take packets of the link from everybody", false},
	{"tun", "tun.name", "`NAME` of a TUN device of the command's own", false},
	{"mode", "tun.mode", "tun, or tap: a host of an Ethernet", false},
	{"bridge", "tun.bridge", "`NAME` of a bridge that a TAP becomes a port of", false},
	{"gateway", "tun.gateway", "`ADDRESS` of a router for a TAP, may be repeated", true},
	{"addr", "addresses", "`ADDRESS/LENGTH` to speak from, may be repeated", true},
	{"congestion", "tcp.congestion", "congestion control: " + strings.Join(config.Congestions, ", "), false},
}

func (f *hostFlags) define(cmd *cobra.Command) {
	f.cmd = cmd
	flags := cmd.Flags()
	for _, k := range hostKeys {
		switch {
		case k.list:
			flags.StringSlice(k.flag, nil, k.usage)
		case k.flag == "link-any":
			flags.Bool(k.flag, false, k.usage)
		default:
			flags.String(k.flag, "", k.usage)
		}
	}
	flags.StringVar(&f.impair, "impair", "", "make the link worse, as in the configuration: `'loss: 1%, delay: 20ms'`")
	flags.BoolVar(&f.trace, "trace", false, "print a line for every segment, on the standard error")
	flags.DurationVar(&f.timeout, "timeout", 30*time.Second, "give up after so much `TIME` without a sign of the peer")
	flags.SortFlags = false
}

// own reports whether the flags name a link of the command's own.
func (f *hostFlags) own() bool {
	return f.cmd.Flags().Changed("link") || f.cmd.Flags().Changed("tun")
}

// config returns what the flags say, checked like any other configuration.
func (f *hostFlags) config() (*config.Config, error) {
	text := fmt.Sprintf("addresses: [%s]\nservices: []\ncontrol: {socket: ''}\n", f.addresses)
	if f.impair != "" {
		text += "impair: {" + strings.Trim(f.impair, "{}") + "}\n"
	}
	var over []config.Flag
	for _, k := range hostKeys {
		flag := f.cmd.Flags().Lookup(k.flag)
		if !flag.Changed {
			continue
		}
		o := config.Flag{Name: "--" + k.flag, Key: k.key, List: k.list, Values: []string{flag.Value.String()}}
		if v, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			o.Values = v.GetSlice()
		}
		over = append(over, o)
	}
	return config.Parse("the command line", []byte(text), over...)
}

// host is a TCP of a command's own.
type host struct {
	*stack.Stack
	link    *tun.Impaired
	tracer  *tracer
	timeout time.Duration
}

// open starts a host. What goes wrong on the way is told on stderr.
func (f *hostFlags) open(stderr io.Writer) (*host, error) {
	c, err := f.config()
	if err != nil {
		return nil, err
	}
	log := newLogger(stderr, "warn", "console", false)
	carrier, err := openLink(c, log.warnf("link"))
	if err != nil {
		return nil, err
	}
	h := &host{timeout: f.timeout}
	var observe tun.Observer
	if f.trace {
		h.tracer = newTracer(stderr)
		observe = h.tracer.observe
	}
	h.link = tun.Impair(carrier, observe)
	if err := h.link.Set(impairment(c.Impair)); err != nil {
		carrier.Close()
		return nil, err
	}
	h.Stack, err = stack.New(stack.Config{
		Link: h.link, Addresses: hosts(c.Addresses), Options: patient(tcpOptions(c.TCP), f.timeout),
		Log: log.Named("stack").WithOptions(zap.IncreaseLevel(zap.ErrorLevel)),
	})
	return h, err
}

// patient sets the times after which a silent peer is given up.
func patient(o tcp.Options, timeout time.Duration) tcp.Options {
	o.UserTimeout = tcp.Duration(timeout)
	o.KeepAlive = tcp.KeepAlive{Enabled: true, Idle: tcp.Duration(timeout / 2), Interval: tcp.Duration(timeout / 8), Count: 4}
	return o
}

// linger goes on answering until the peer has been quiet: an acknowledgement of its FIN may have been lost.
func (h *host) linger(quiet time.Duration) {
	const most = 10 * time.Second
	for end, before := time.Now().Add(most), uint64(0); time.Now().Before(end); {
		now := h.link.Stats().Read.Packets
		if now == before {
			return
		}
		before = now
		time.Sleep(quiet)
	}
}

// close ends the host.
func (h *host) close() {
	_ = h.Stack.Close()
	if h.tracer != nil {
		h.tracer.flush()
	}
}

// waitClosed waits until both FINs of c are acknowledged, and returns why that failed.
func (h *host) waitClosed(ctx context.Context, c *stack.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-c.Done():
			return fmt.Errorf("the connection failed before both sides had closed it")
		case <-ctx.Done():
			return fmt.Errorf("the peer did not acknowledge our FIN within %v", h.timeout)
		case <-tick.C:
			if s := c.Info().State; s == tcp.TimeWait || s == tcp.Closed {
				return nil
			}
		}
	}
}

// progress tells a person at a terminal how a transfer goes.
type progress struct {
	start time.Time
	stop  chan struct{}
	done  chan struct{}
}

// watch prints, some times a second, what bytes returns; not if stderr is no terminal.
func watch(stderr io.Writer, quiet bool, bytes func() uint64) *progress {
	p := &progress{start: time.Now(), stop: make(chan struct{}), done: make(chan struct{})}
	f, ok := stderr.(*os.File)
	if quiet || !ok || !isTerminal(f) {
		close(p.done)
		return p
	}
	go func() {
		defer close(p.done)
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				fmt.Fprint(f, "\r\033[K")
				return
			case <-tick.C:
				n := bytes()
				fmt.Fprintf(f, "\r\033[K%s, %s", size(n), rate(n, time.Since(p.start)))
			}
		}
	}()
	return p
}

// end stops printing and returns how long it all took.
func (p *progress) end() time.Duration {
	close(p.stop)
	<-p.done
	return time.Since(p.start)
}

// size prints a number of bytes for people.
func size(n uint64) string {
	for _, u := range []struct {
		name  string
		bytes float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if float64(n) >= u.bytes {
			return fmt.Sprintf("%.1f %s", float64(n)/u.bytes, u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}

// rate prints how fast n bytes went.
func rate(n uint64, d time.Duration) string {
	return fmt.Sprintf("%.1f Mbit/s", float64(n)*8/1e6/max(d.Seconds(), 1e-6))
}
