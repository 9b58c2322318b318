package tcp

import "encoding/binary"

// Option kinds (IANA).
const (
	optEnd           = 0
	optNop           = 1
	optMSS           = 2
	optWindowScale   = 3
	optSACKPermitted = 4
	optSACK          = 5
	optTimestamps    = 8
	optFastOpen      = 34 // RFC 7413, section 4.1.1
)

const (
	timestampsLen  = 12 // two NOPs and the option (RFC 7323, appendix A)
	timestampsHead = optNop<<24 | optNop<<16 | optTimestamps<<8 | 10
	maxWindowScale = 14 // RFC 7323, section 2.3
	maxSACKBlocks  = 4
)

// options are the options of a received segment that we know.
type options struct {
	mss           uint16 // 0: absent
	scale         uint8
	hasScale      bool
	sackPermitted bool
	hasTimestamps bool
	tsVal, tsEcr  uint32
	sacks         [maxSACKBlocks]span
	nsacks        uint8
	hasFastOpen   bool
	fastOpen      []byte // cookie, borrowed; empty: a client asks for one
	malformed     bool   // a bad length ended the parsing; what came before counts
}

// parse reads the options field. It stops at the first length that cannot be and keeps the segment (attack class H08).
func (o *options) parse(b []byte) {
	*o = options{}
	if len(b) == timestampsLen && binary.BigEndian.Uint32(b) == timestampsHead { // as on nearly all segments
		o.hasTimestamps = true
		o.tsVal, o.tsEcr = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		return
	}
	for len(b) > 0 {
		kind := b[0]
		if kind == optEnd {
			return
		}
		if kind == optNop {
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			o.malformed = true
			return
		}
		o.set(kind, b[2:b[1]])
		b = b[b[1]:]
	}
}

func (o *options) set(kind byte, v []byte) {
	switch {
	case kind == optMSS && len(v) == 2:
		o.mss = binary.BigEndian.Uint16(v)
	case kind == optWindowScale && len(v) == 1:
		// "If a Window Scale option is received with a shift.cnt value larger than 14, the TCP SHOULD log the error but
		// MUST use 14 instead of the specified value." (RFC 7323, section 2.3)
		o.scale, o.hasScale = min(v[0], maxWindowScale), true
	case kind == optSACKPermitted && len(v) == 0:
		o.sackPermitted = true
	case kind == optTimestamps && len(v) == 8:
		o.hasTimestamps = true
		o.tsVal, o.tsEcr = binary.BigEndian.Uint32(v), binary.BigEndian.Uint32(v[4:])
	case kind == optSACK && len(v)%8 == 0 && len(v) <= 8*maxSACKBlocks:
		o.nsacks = 0
		for ; len(v) > 0; v = v[8:] {
			o.sacks[o.nsacks] = span{Seq(binary.BigEndian.Uint32(v)), Seq(binary.BigEndian.Uint32(v[4:]))}
			o.nsacks++
		}
	case kind == optFastOpen && len(v) <= maxFastCookie:
		o.hasFastOpen, o.fastOpen = true, v
	default:
		// Unknown kinds are skipped (RFC 9293, MUST-6); known kinds of a wrong length as well.
	}
}

// optionWriter builds an options field.
type optionWriter struct {
	b [maxOptions]byte
	n int
}

func (w *optionWriter) bytes() []byte { return w.b[:w.n] }

func (w *optionWriter) mss(v uint16) {
	w.b[w.n], w.b[w.n+1] = optMSS, 4
	binary.BigEndian.PutUint16(w.b[w.n+2:], v)
	w.n += 4
}

func (w *optionWriter) windowScale(v uint8) {
	copy(w.b[w.n:], []byte{optNop, optWindowScale, 3, v})
	w.n += 4
}

func (w *optionWriter) sackPermitted() {
	copy(w.b[w.n:], []byte{optNop, optNop, optSACKPermitted, 2})
	w.n += 4
}

func (w *optionWriter) timestamps(val, ecr uint32) {
	binary.BigEndian.PutUint32(w.b[w.n:], timestampsHead)
	binary.BigEndian.PutUint32(w.b[w.n+4:], val)
	binary.BigEndian.PutUint32(w.b[w.n+8:], ecr)
	w.n += timestampsLen
}

// sackAndTimestamps writes both as Linux does, in the place of the one: a Fast Open cookie of 16 bytes fits beside them.
func (w *optionWriter) sackAndTimestamps(val, ecr uint32) {
	at := w.n
	w.timestamps(val, ecr)
	w.b[at], w.b[at+1] = optSACKPermitted, 2
}

// fastOpen writes a cookie, or asks for one with none.
func (w *optionWriter) fastOpen(cookie []byte) {
	for (w.n+2+len(cookie))%4 != 0 {
		w.b[w.n] = optNop
		w.n++
	}
	w.b[w.n], w.b[w.n+1] = optFastOpen, byte(2+len(cookie))
	w.n += 2 + copy(w.b[w.n+2:], cookie)
}

// sackRoom returns how many SACK blocks still fit.
func (w *optionWriter) sackRoom() int { return min((maxOptions-w.n-4)/8, maxSACKBlocks) }

func (w *optionWriter) sack(blocks []span) {
	if len(blocks) == 0 {
		return
	}
	copy(w.b[w.n:], []byte{optNop, optNop, optSACK, byte(2 + 8*len(blocks))})
	w.n += 4
	for _, s := range blocks {
		binary.BigEndian.PutUint32(w.b[w.n:], uint32(s.start))
		binary.BigEndian.PutUint32(w.b[w.n+4:], uint32(s.end))
		w.n += 8
	}
}
