package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"tcpd/bench/internal/machine"
)

// outcome is what a load has measured between the end of its warm-up and its own end.
type outcome struct {
	Seconds    float64
	Bytes      uint64        // of applications; sent ones once they are acknowledged
	Operations uint64        // requests, connections or exchanges
	Failed     uint64        // operations that were not completed
	P50, P99   time.Duration // of an exchange
	Busy       float64       // seconds that the machine's processors were busy
}

// load is what a client does.
type load struct {
	mode    string
	to      netip.Addr
	flows   int
	warm    time.Duration
	time    time.Duration
	sources []netip.Addr // the client's addresses, for more connections than one has ports
}

// runLoad is the program inside a client's process. It prints the outcome.
func runLoad(args []string) error {
	flags := flag.NewFlagSet("load", flag.ExitOnError)
	var l load
	flags.StringVar(&l.mode, "mode", "", "up, down, echo, exchange, connect, http or http-close")
	flags.IntVar(&l.flows, "flows", 1, "connections at a time")
	flags.DurationVar(&l.warm, "warm", 0, "time before the measured one")
	flags.DurationVar(&l.time, "time", 0, "measured time")
	flags.Func("to", "server", func(s string) (err error) { l.to, err = netip.ParseAddr(s); return err })
	flags.Func("source", "an own address; may be repeated", func(s string) error {
		a, err := netip.ParseAddr(s)
		l.sources = append(l.sources, a)
		return err
	})
	flags.Parse(args)
	debug.SetGCPercent(-1) // it lives for seconds
	run := map[string]func(*load) (outcome, error){
		"up": upload, "down": download, "echo": echo, "exchange": exchange, "connect": connect,
		"http": keepAlive, "http-close": requestPerConnection,
	}[l.mode]
	if run == nil {
		return fmt.Errorf("no load is called %q", l.mode)
	}
	o, err := run(&l)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(o)
}

// dial opens a connection that sends with CUBIC.
func (l *load) dial(port uint16) (*net.TCPConn, error) {
	d := net.Dialer{Timeout: 5 * time.Second, Control: cubic}
	conn, err := d.Dial("tcp", netip.AddrPortFrom(l.to, port).String())
	if err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// dialAll opens the load's connections.
func (l *load) dialAll(port uint16) (conns []*net.TCPConn, err error) {
	for range l.flows {
		conn, err := l.dial(port)
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// window waits for the warm-up to pass and then for the measured time. count says how much has been done so far.
func (l *load) window(count func() uint64) (n uint64, o outcome, err error) {
	time.Sleep(l.warm)
	before, err := machine.Measure()
	if err != nil {
		return 0, o, err
	}
	first, start := count(), time.Now()
	time.Sleep(l.time)
	n, o.Seconds = count()-first, time.Since(start).Seconds()
	after, err := machine.Measure()
	o.Busy = after.Busy(before).Seconds()
	if n == 0 && err == nil {
		err = errors.New("nothing was done in the measured time")
	}
	return n, o, err
}
