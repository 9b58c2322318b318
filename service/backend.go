package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
)

// splitBackend returns the network and address of "host:port" or "unix:/path".
func splitBackend(to string) (network, address string, err error) {
	if path, ok := strings.CutPrefix(to, "unix:"); ok {
		if path == "" {
			return "", "", fmt.Errorf("proxy to %q: the path is missing: write unix:/run/app.sock", to)
		}
		return "unix", path, nil
	}
	host, port, err := net.SplitHostPort(to)
	if err != nil || host == "" || port == "" {
		return "", "", fmt.Errorf("proxy to %q: not an address: write host:port, [IPv6]:port or unix:/path", to)
	}
	return "tcp", to, nil
}

// Delays between dials to a UNIX socket whose backlog is full.
const (
	firstRetry = time.Millisecond
	lastRetry  = 50 * time.Millisecond
)

// dial connects to the backend. A UNIX socket whose backlog is full answers EAGAIN at once, where TCP would wait: so wait
// here, until ctx ends.
func (p *Proxy) dial(ctx context.Context) (net.Conn, error) {
	network, address, err := splitBackend(p.To)
	if err != nil {
		return nil, err
	}
	connect := p.Dial
	if connect == nil {
		connect = new(net.Dialer).DialContext
	}
	for delay := firstRetry; ; delay = min(2*delay, lastRetry) {
		conn, err := connect(ctx, network, address)
		if err == nil {
			return keepSpare(conn)
		}
		if !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		if !pause(ctx, delay) {
			return nil, fmt.Errorf("dial %s: the backlog is full: %w", p.To, ctx.Err())
		}
	}
}

// places is how many dials, and how many handshakes, there may be at a time.
func (p *Proxy) places() int { return orDefault(p.PendingDials, DefaultPendingDials) }

// admit takes one of the places for pending dials; done gives it back.
func (p *Proxy) admit() bool {
	if p.pending.Add(1) > int64(p.places()) {
		p.pending.Add(-1)
		return false
	}
	return true
}

func (p *Proxy) done() { p.pending.Add(-1) }

// refusal counts a failed dial and logs the first of a series: what happens per connection must not fill the log. Without descriptors
// the backend is not to blame.
func (p *Proxy) refusal(r Reason, err error) {
	p.refuse(r)
	switch {
	case r == ClientGaveUp:
	case r == DialDescriptors:
		if !p.starved.Swap(true) {
			p.Log.fail("proxy: no file descriptors left to reach %s: %v; clients are refused until some are free: raise the limit (LimitNOFILE=, ulimit -n)", p.To, err)
		}
	case !p.down.Swap(true):
		p.Log.warn("proxy: backend %s does not answer (%s): %v; clients are refused until it does", p.To, r, err)
	}
}

// answered logs the end of a series of failed dials.
func (p *Proxy) answered() {
	if p.starved.Load() && p.starved.Swap(false) {
		p.Log.info("proxy: file descriptors are free again, %s is reached", p.To)
	}
	if p.down.Load() && p.down.Swap(false) {
		p.Log.info("proxy: backend %s answers again", p.To)
	}
}
