package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"tcpd/stack"
	"tcpd/tun"
)

// run is the life of the daemon, from the configuration to the exit.
func run(ctx context.Context, s *settings, stdout io.Writer) error {
	// From here on a signal to end is a request, and not the end.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	// Whoever reads the log may go (journald is restarted, a tee dies). Go would end the process at the next line, and systemd
	// takes that for an end in order, after which it does not start again. Ignored, a line is lost and the connections stay.
	signal.Ignore(syscall.SIGPIPE)

	c, err := s.load()
	if err != nil {
		return err
	}
	color := isTerminal(os.Stderr) && os.Getenv("NO_COLOR") == ""
	log := newLogger(os.Stderr, c.Log.Level, logFormat(c.Log.Format, os.Stderr), color)
	defer crash(log, os.Exit)
	for _, w := range c.Warnings {
		log.Warn(w.String())
	}
	notify, err := newNotifier(os.Getenv("NOTIFY_SOCKET"))
	if err != nil {
		log.Warn("the service manager cannot be told about readiness", zap.Error(err))
	}
	l, err := unlessStopped(signals, func() (tun.Carrier, error) {
		defer crash(log, os.Exit)
		return openLink(c, log.warnf("tun"))
	})
	if errors.Is(err, errStopped) {
		log.Info("stopped before the device was ready")
		return nil
	}
	if err != nil {
		return err
	}
	d, err := newDaemon(c, l, stack.FineClock(), log)
	if err != nil {
		return err
	}
	d.load, d.notify, d.file = s.load, notify, absolute(s.file)
	defer d.close()
	d.govern()
	return d.serve(signals, stdout)
}

// serve opens what others see of the daemon, says that it is ready, and stays until the end. Sockets of the host, which another
// program may have, come before the services.
func (d *daemon) serve(signals chan os.Signal, stdout io.Writer) error {
	control, err := d.openControl()
	if err != nil {
		return err
	}
	defer control.close()
	metrics, err := d.openMetrics()
	if err != nil {
		return err
	}
	defer metrics.close()
	if err := d.services.apply(d.config().Services); err != nil {
		return err
	}
	control.start(d.log)
	metrics.start(d.log)
	if stopRequested(signals) {
		d.log.Info("stopped before it was ready")
		return nil
	}

	d.log.Info("ready", zap.String("device", d.link.Name()), zap.String("version", version()))
	d.notify.ready(d.summary())
	if len(d.config().Tun.Host) > 0 {
		d.warnOfRoutes() // the kernel's side is ours, and complete
	} else {
		time.AfterFunc(housekeeping, d.warnOfRoutes)
	}
	if f, ok := stdout.(*os.File); ok && isTerminal(f) {
		d.greet(f)
	}
	return d.wait(signals)
}

// housekeeping is how often the log says what it left out.
const housekeeping = 10 * time.Second

// wait is the daemon's loop: signals, the watchdog, the end of the link.
func (d *daemon) wait(signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if interval := watchdogInterval(); interval > 0 {
		go d.feedWatchdog(ctx, interval/3)
	}
	tick := time.NewTicker(housekeeping)
	defer tick.Stop()
	for {
		select {
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				go d.reloadOnSignal()
				continue
			}
			d.stop(sig, signals)
			return nil
		case <-d.stack.Done():
			return d.stack.Err()
		case <-tick.C:
			d.log.reportSuppressed()
		}
	}
}

func (d *daemon) reloadOnSignal() {
	defer crash(d.log, os.Exit)
	_, _ = d.reload() // which logs its errors
}

// stop drains: no more connections are accepted, those that run may finish for some time, the rest is reset. A second
// signal cuts that short.
func (d *daemon) stop(sig os.Signal, signals <-chan os.Signal) {
	limit := d.config().Shutdown.Drain
	d.log.Info("stopping", zap.Stringer("signal", sig), zap.Duration("drain", limit))
	d.notify.stopping(fmt.Sprintf("waiting up to %v for connections to finish", limit), limit)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	go func() {
		for {
			select {
			case again := <-signals:
				if again == syscall.SIGHUP {
					d.log.Warn("reload failed", zap.Error(errStopping))
					continue
				}
				d.log.Info("stopping at once", zap.Stringer("signal", again))
				cancel()
			case <-ctx.Done():
				return
			}
		}
	}()
	d.drain(ctx)
	if left := d.stack.Stats().Connections; left > 0 {
		d.log.Warn("connections that did not finish are reset", zap.Int("connections", left),
			zap.Bool("time is up", errors.Is(ctx.Err(), context.DeadlineExceeded)))
	}
	d.close()
	d.log.Info("stopped")
}

// greet tells somebody at a terminal what to try.
func (d *daemon) greet(w io.Writer) {
	fmt.Fprintln(w, d.summary())
	a := d.config().Addresses[0].Addr()
	for _, s := range d.services.serving() {
		if s.Kind == "http" {
			if own := s.Listen.Addr(); own.IsValid() && !own.IsUnspecified() {
				a = own
			}
			fmt.Fprintf(w, "Try in another terminal: curl %s   Ctrl-C ends.\n", url(a, s.Listen.Port()))
			return
		}
	}
	fmt.Fprintf(w, "Try in another terminal: ping %s   Ctrl-C ends.\n", a)
}

// url returns the address of a page, quoted if a shell would take it for a pattern.
func url(a netip.Addr, port uint16) string {
	u := "http://" + strings.TrimSuffix(netip.AddrPortFrom(a, port).String(), ":80") + "/"
	if a.Is6() {
		u = "'" + u + "'"
	}
	return u
}
