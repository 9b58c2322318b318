package world

import (
	"fmt"

	"tcpd/tcp"
)

// pair is a connection with the applications of both sides, and what must hold between them.
type pair struct {
	w        *world
	index    int
	plan     *connPlan
	flow     tcp.Flow // as the opener sees it
	apps     [2]*app  // opener first
	opened   bool
	refused  bool // a refusal is in order
	rebound  bool // the translator has forgotten it
	shared   bool // its flow is used more than once: the taps see nothing
	twins    bool // two incarnations have one initial sequence number: the listener's clock did not move between them
	taps     [2]tap
	progress tcp.Time
}

func (a *app) String() string { return fmt.Sprintf("connection %d at end %d", a.pair.index, a.end) }

func (a *app) info() tcp.Info { return a.w.ends[a.end].table.Info(a.clock(), a.conn) }

// mild: nothing but an application may end this connection.
func (p *pair) mild() bool { return p.w.mild && !p.rebound }

// moved: something went on in this connection.
func (p *pair) moved() { p.progress = p.w.now }

// over reports that neither side has anything left to do.
func (p *pair) over() bool {
	return p.opened && p.apps[0].over && (p.apps[1].over || p.apps[1].conn == nil)
}

// checkEOF: the stream ends with EOF only when the peer said so, and not a byte earlier (N1, N5).
func (p *pair) checkEOF(a *app) {
	peer := p.apps[1-a.side]
	switch {
	case !peer.fin:
		p.w.failf("%v: EOF, but the peer did not end its stream", a)
	case a.got != peer.sent:
		p.w.failf("%v: EOF after %d bytes, the peer wrote %d", a, a.got, peer.sent)
	}
	p.moved()
}

// checkAcked: what was acknowledged is with the peer's application, or will be (N1).
func (p *pair) checkAcked() {
	for side, a := range p.apps {
		peer := p.apps[1-side]
		if a.over || a.conn == nil || peer.conn == nil {
			continue
		}
		if peer.over && (p.w.plan.fastOpen || p.w.ends[peer.end].table.Counters().CookiesAccepted > 0 || p.w.links[peer.end].plan.forge > 0) {
			continue // an old segment, or a forged SYN, may have opened it anew; see again
		}
		acked := int(a.info().BytesAcked)
		have := peer.got + peer.held
		if !peer.over {
			have = peer.got + peer.info().Unread
		}
		if acked > have {
			p.w.failf("%v: %d bytes are acknowledged, the peer read %d and holds %d", a, acked, peer.got, have-peer.got)
		}
		if acked > a.sent {
			p.w.failf("%v: %d bytes are acknowledged, %d were written", a, acked, a.sent)
		}
	}
}

// checkError: every failure has a cause.
func (p *pair) checkError(a *app) {
	peer := p.apps[1-a.side]
	// A peer that has closed goes on in the background, and on a bad link fails there.
	// Of twins one may have been reset, and the peer with it, who then completed the other one's handshake.
	// While a listener was away the opener was told so, though what it repeats opens a connection with a cookie later.
	away := p.w.ends[peer.end].plan.absent != (interval{})
	caused := p.rebound || p.twins || away || peer.abortive || peer.timedOut() || !p.mild() && (peer.over || peer.conn == nil)
	excused := !p.mild() || peer.abortive
	switch a.err {
	case tcp.ErrReset:
		if !caused {
			p.w.failf("%v: reset, but the peer did not give up", a)
		}
	case tcp.ErrTimeout:
		if !excused {
			p.w.failf("%v: timed out on a link that works", a)
		}
	case tcp.ErrRefused:
		if !p.refused && !peer.abortive && p.mild() {
			p.w.failf("%v: refused, but somebody listens", a)
		}
	case tcp.ErrUnreachable:
		if !p.w.complains() {
			p.w.failf("%v: no router said that the peer is unreachable", a)
		}
	default:
		p.w.failf("%v: ended with %v", a, a.err)
	}
}

// timedOut: the connection has failed, and the application may not have noticed yet. Where a router has said why nobody answers,
// that is the reason.
func (a *app) timedOut() bool {
	if a.conn == nil || a.over {
		return false
	}
	err := a.conn.Err()
	return err == tcp.ErrTimeout || err == tcp.ErrUnreachable
}

// patience is how long nothing may move while the link delivers. Retransmission backs off to two minutes.
const patience = 15 * tcp.Minute

// checkMoves: while the link delivers, bytes move, or the connection fails.
func (p *pair) checkMoves() {
	if !p.opened || p.over() {
		return
	}
	since := p.progress
	for _, a := range p.apps {
		since = max(since, a.pausedTo)
	}
	for i := range p.w.links {
		since = max(since, p.w.links[i].plan.heal)
	}
	wait := patience
	if p.rebound {
		wait += patience // the user time-out has to notice it
	}
	if p.w.now.Sub(since) < wait {
		return
	}
	for side, a := range p.apps {
		peer := p.apps[1-side]
		if a.over || a.conn == nil {
			continue
		}
		i := a.info()
		if !peer.over && peer.conn != nil {
			j := peer.info()
			p.w.failf("%v: nothing moves, though both sides are there\n%+v\n%+v", a, i, j)
		}
		if i.Unacked > 0 || i.Unsent > 0 {
			if p.w.now.Sub(since) > wait+10*tcp.Minute {
				p.w.failf("%v: what it wrote is neither delivered nor failed\n%+v", a, i)
			}
			continue
		}
		if peer.conn == nil && a.conn.State() == tcp.Established && !p.rebound && p.w.lossless() {
			p.w.failf("%v: established for nobody, and not told so\n%+v", a, i)
		}
		// The peer is gone, and so is what it said last: only an application's own patience ends this.
		a.abort()
	}
}
