package tcp

import (
	"encoding/binary"

	"github.com/dchest/siphash"

	"tcpd/ip"
)

// SYN cookies (RFC 4987, section 3.6). When there is no room for another half-open connection, what has to be remembered is
// put into our initial sequence number, and, if the peer sends timestamps, into the last bits of ours:
//
//	sequence number:  5 bits time | 3 bits MSS | 24 bits keyed hash of flow, peer's number, time, MSS
//	timestamp:        ... | 1 bit ECN | 1 bit SACK | 4 bits scale, 15: not offered
//
// Without timestamps such a connection has neither window scale nor SACK nor ECN. Whoever guesses has one chance in 2^23 for
// each packet, and only while cookies are being sent and a minute after (attack class H02).
//
// Our own window scale and the window of the answer are in no cookie. They follow from the receive buffer that the listener
// had when it began to send cookies, which stays the one of such connections until cookies count no longer: options that
// change meanwhile cannot make us take another scale than we told.
const (
	cookieStep    = 64 * Second
	cookieSteps   = 2           // the present one and the one before count
	cookieAfter   = 60 * Second // cookies count while they are sent and so long after
	cookieTSBits  = 6
	cookieTSMask  = 1<<cookieTSBits - 1
	cookieTSECN   = 1 << 5
	cookieTSSACK  = 1 << 4
	cookieTSScale = 15   // the largest shift is 14
	maxCookies    = 1024 // that wait to be sent
)

// cookieMSS are the segment sizes that a cookie can carry: those of common paths, and the least that we send.
var cookieMSS = [8]uint16{minSendMSS, 536, 1000, 1220, 1400, 1440, 1460, 8940}

// cookieHash is the part of a cookie that only we can make.
func (s secret) cookieHash(f *Flow, irs Seq, step int64, mss int) uint32 {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], s.hash(domainCookie, f))
	binary.BigEndian.PutUint32(b[8:], uint32(irs))
	binary.BigEndian.PutUint32(b[12:], uint32(step)<<3|uint32(mss))
	return uint32(siphash.Hash(s.k0, s.k1, b[:])) & (1<<24 - 1)
}

// sendCookie answers a SYN without remembering it. It reports false where that cannot be: an application that wants to decide
// on the SYN has to be told of it, and more answers than can leave make no sense.
func (t *Table) sendCookie(now Time, l *listener, f *Flow, s *segment) bool {
	if l.opts.Hold || t.cookies.n >= maxCookies || t.connsFull() {
		return false
	}
	mss := s.opts.mss
	if mss == 0 {
		mss = defaultMSS4
	}
	m := len(cookieMSS) - 1
	for m > 0 && cookieMSS[m] > mss {
		m--
	}
	if now > l.cookiesUntil {
		l.cookieBuffer = int32(l.opts.Options.ReceiveBuffer)
	}
	step := int64(now) / int64(cookieStep)
	h := half{
		flow: *f, irs: s.seq, tsRecent: s.opts.tsVal, timestamps: s.opts.hasTimestamps,
		buffer: l.cookieBuffer, listener: t.id(l),
	}
	h.iss = Seq(uint32(step)<<27 | uint32(m)<<24 | t.secret.cookieHash(f, s.seq, step, m))
	if h.timestamps {
		h.scale, h.hasScale, h.sack = s.opts.scale, s.opts.hasScale, s.opts.sackPermitted
		h.ecn = l.opts.Options.ECN != ECNOff && s.asksECN()
	}
	t.cookies.push(h)
	l.cookiesUntil = now.Add(cookieAfter)
	t.counters.CookiesSent++
	return true
}

// cookieTS puts what h negotiated into the last bits of a timestamp, which stays at or below the clock.
func cookieTS(h *half, clock uint32) uint32 {
	bits := uint32(cookieTSScale)
	if h.hasScale {
		bits = uint32(h.scale)
	}
	if h.ecn {
		bits |= cookieTSECN
	}
	if h.sack {
		bits |= cookieTSSACK
	}
	v := clock&^cookieTSMask | bits
	if v > clock {
		v -= 1 << cookieTSBits
	}
	return v
}

// emitCookie builds a SYN-ACK that carries a cookie.
func (t *Table) emitCookie(now Time, h *half, out *ip.Outgoing) {
	t.buildSynAck(now, h, cookieTS(h, t.tsNow(now, &h.flow)), out)
}

// takeCookie opens a connection if the segment acknowledges a cookie of ours. Others that may acknowledge one are dropped without
// a RST while cookies count: they may have overtaken the segment that opens their connection, and then its peer's number is not
// known. A SYN-ACK opens nothing; a half-open record would challenge it (RFC 5961, section 4.2), and a RST with its number would
// end what the owner of a cookie takes for established. ok is false when cookies do not count, and for a stray whose number tells
// a time of which none does: it may be the answer to a RST that was challenged, and comes only once.
func (t *Table) takeCookie(now Time, l *listener, f *Flow, s *segment) (d Drop, ok bool) {
	if now > l.cookiesUntil || l.opts.Hold {
		return DropNone, false
	}
	if s.flags.has(SYN) {
		return DropCookie, true
	}
	iss, irs := s.ack-1, s.seq-1
	step := int64(now) / int64(cookieStep)
	step -= int64((uint32(step) - uint32(iss)>>27) & 31)
	m := int(iss>>24) & 7
	if int64(now)/int64(cookieStep)-step >= cookieSteps {
		return DropNone, false
	}
	if t.secret.cookieHash(f, irs, step, m) != uint32(iss)&(1<<24-1) {
		return DropCookie, true
	}
	if l.full() {
		return DropBacklog, true
	}
	h := half{
		flow: *f, irs: irs, iss: iss, mss: cookieMSS[m], again: true, timestamps: s.opts.hasTimestamps,
		tsRecent: s.opts.tsVal, buffer: l.cookieBuffer,
	}
	if h.timestamps {
		bits := s.opts.tsEcr & cookieTSMask
		if h.sack = bits&cookieTSSACK != 0; bits&cookieTSScale != cookieTSScale {
			h.scale, h.hasScale = uint8(bits&cookieTSScale), true
		}
		h.ecn = bits&cookieTSECN != 0 && l.opts.Options.ECN != ECNOff
	}
	c, d := t.open(now, l, &h)
	if d != DropNone {
		return d, true
	}
	t.established(c)
	t.counters.CookiesAccepted++
	t.offer(l, c)
	return t.arriveConn(now, c, s), true
}
