package main

import (
	"context"
	"io"
	"net"
	"net/netip"
	"time"

	"tcpd/stack"
)

// vantage is a place from which a command speaks TCP: a host of its own, or a running daemon.
type vantage interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Ping(ctx context.Context, to netip.Addr, size int) (time.Duration, error)
	// describe says what TCP knows of a connection of DialContext.
	describe(c net.Conn) [][2]string
	// settle waits until connections that were closed are over.
	settle(ctx context.Context)
	close()
}

// vantageFlags choose one.
type vantageFlags struct {
	hostFlags
	where socketFlags
}

// vantage opens the place that the flags name: a link of the command's own if they name one, else a running daemon.
func (f *vantageFlags) vantage(stderr io.Writer) (vantage, error) {
	if f.own() {
		return f.open(stderr)
	}
	c, err := f.where.client()
	if err != nil {
		return nil, err
	}
	return daemonVantage{c}, nil
}

func (h *host) describe(c net.Conn) [][2]string { return c.(*stack.Conn).Describe() }

func (h *host) settle(ctx context.Context) { _ = h.Drain(ctx) }

// lookupHost returns the address of a host, resolved by the system.
func lookupHost(ctx context.Context, name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a.Unmap(), nil
	}
	list, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return netip.Addr{}, err
	}
	return list[0].Unmap(), nil
}
