package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/bench/internal/link"
	"tcpd/bench/internal/netns"
)

// accuracy is what an emulated link really does, measured with UDP from the client to the kernel contender's namespace: the
// way of a packet through both kernels and the receiving goroutine's wake-up is in it.
type accuracy struct {
	DelayMedian time.Duration `json:"delay_error_median_ns"` // beyond the delay that was asked for
	Delay99     time.Duration `json:"delay_error_99_ns"`
	RateError   float64       `json:"rate_error"` // share, of a burst that fills the link
}

func (a accuracy) String() string {
	return fmt.Sprintf("delay +%v (median), +%v (99%%); rate %+.2f%%",
		a.DelayMedian.Round(time.Microsecond), a.Delay99.Round(time.Microsecond), a.RateError*100)
}

// probe sends datagrams with their time and gets them at the other end.
type probe struct {
	out, in net.PacketConn
	start   time.Time
}

// flight is a datagram's times since the probe's start.
type flight struct{ sent, arrived time.Duration }

const probePort, probeSize, probeHeaders = 9_999, 1400, 28

// measureAccuracy checks the link of a contender whose end is 10.98.1.2.
func measureAccuracy(client *netns.Namespace, c *contender, rate float64) (a accuracy, err error) {
	p := &probe{start: time.Now()}
	if p.out, err = openProbe(client, fmt.Sprintf(":%d", probePort)); err != nil {
		return a, err
	}
	defer p.out.Close()
	if p.in, err = openProbe(c.watch[link.Server].ns, "10.98.1.2:0"); err != nil {
		return a, err
	}
	defer p.in.Close()
	const delay = 10 * time.Millisecond
	wire := time.Duration((probeSize + probeHeaders) * 8 / rate * float64(time.Second))
	c.link.Announce(probePort, link.Conditions{Rate: rate, Delay: delay, Queue: 1 << 20}, 1)
	defer c.link.Clear()

	single := p.run(200, time.Millisecond)
	burst := p.run(500, 0)
	if len(single) == 0 || len(burst) == 0 {
		return a, errors.New("no datagram came through the emulated link")
	}
	var late []time.Duration
	for _, f := range single {
		late = append(late, f.arrived-f.sent-delay-wire)
	}
	slices.Sort(late)
	a.DelayMedian, a.Delay99 = late[len(late)/2], late[len(late)*99/100]
	n := len(burst) - 1
	a.RateError = float64(n)*wire.Seconds()/(burst[n].arrived-burst[0].arrived).Seconds() - 1
	return a, nil
}

// openProbe opens a UDP socket with room for a burst.
func openProbe(ns *netns.Namespace, at string) (conn net.PacketConn, err error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		failure := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		})
		return errors.Join(err, failure)
	}}
	err = ns.Do(func() error {
		conn, err = config.ListenPacket(context.Background(), "udp4", at)
		return err
	})
	return conn, err
}

// run sends n datagrams with pauses and returns those that arrived, in that order.
func (p *probe) run(n int, pause time.Duration) (flights []flight) {
	done := make(chan struct{})
	p.in.SetReadDeadline(time.Now().Add(3 * time.Second))
	go func() {
		defer close(done)
		for b := make([]byte, probeSize); len(flights) < n; {
			if _, _, err := p.in.ReadFrom(b); err != nil {
				return
			}
			flights = append(flights, flight{time.Duration(binary.BigEndian.Uint64(b)), time.Since(p.start)})
		}
	}()
	for b, left := make([]byte, probeSize), n; left > 0; left-- {
		binary.BigEndian.PutUint64(b, uint64(time.Since(p.start)))
		if _, err := p.out.WriteTo(b, p.in.LocalAddr()); err != nil {
			break
		}
		time.Sleep(pause)
	}
	<-done
	return flights
}
