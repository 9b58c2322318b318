package tcp

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
)

func TestAttack_H08_optionBombs(t *testing.T) {
	bombs := map[string][]byte{
		"length 0":             {optMSS, 0, 3, 232},
		"length 1":             {optMSS, 1, 3, 232},
		"beyond the header":    {optMSS, 200, 3, 232},
		"no length":            {1, 1, 1, optTimestamps},
		"all NOPs":             bytes.Repeat([]byte{optNop}, 40),
		"forty unknown":        bytes.Repeat([]byte{77, 2}, 20),
		"MSS of three bytes":   {optMSS, 3, 1, 0},
		"SACK of seven bytes":  {optSACK, 9, 1, 2, 3, 4, 5, 6, 7, 0, 0, 0},
		"SACK of no bytes":     {optSACK, 2, 0, 0},
		"scale without a byte": {optWindowScale, 2, 0, 0},
		"end, then rubbish":    {optEnd, optMSS, 0, 0},
		"ten timestamps":       append(bytes.Repeat([]byte{optTimestamps, 2}, 18), 0, 0, 0, 0),
	}
	for name, b := range bombs {
		t.Run(name, func(t *testing.T) {
			converse(t, Config{}, func(c *talk) {
				c.listen(ListenOptions{})
				c.send(seg{flags: SYN, opts: b})
				c.want("the SYN is kept", seg{flags: SYN | ACK, ack: 1})
				c.send(seg{flags: ACK, seq: 1, ack: 1, len: 10, opts: b})
				c.conn = c.table.Accept(c.listener)
				c.wantRead("and the data", 1, 10)
			})
		})
	}
}

func TestOptions_whatCameBeforeTheBadLengthCounts(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{})
		c.send(seg{flags: SYN, opts: []byte{optMSS, 4, 1, 244, optTimestamps, 0, 0, 0}})
		if s := c.want("a SYN", seg{flags: SYN | ACK, ack: 1}); s.parsed.hasTimestamps {
			c.Error("timestamps negotiated by a broken option")
		}
		c.send(seg{flags: ACK, seq: 1, ack: 1})
		c.conn = c.table.Accept(c.listener)
		if i := c.table.Info(c.now, c.conn); i.MSS != 500 || c.table.Counters().MalformedOptions != 1 {
			c.Errorf("MSS %d, %d malformed", i.MSS, c.table.Counters().MalformedOptions)
		}
	})
}

func TestAttack_H09_tinyMSS(t *testing.T) {
	for mss := range 101 {
		for _, o := range []peerOptions{{mss: mss, scale: -1}, {mss: mss, scale: 7, sack: true, ts: true}, {mss: mss, scale: 7, sack: true}} {
			converse(t, Config{}, func(c *talk) {
				c.quiet = true
				if mss == 0 {
					o.mss = 1 // an option with the value 0 says the same as none
				}
				c.accepted(o)
				c.send(seg{flags: ACK, seq: 1001, ack: 1, len: 10}) // a hole: SACK blocks take room
				c.send(seg{flags: ACK, seq: 2001, ack: 1, len: 10})
				c.send(seg{flags: ACK, seq: 3001, ack: 1, len: 10})
				c.send(seg{flags: ACK, seq: 4001, ack: 1, len: 10})
				c.discard()
				c.write(1, 500)
				for _, s := range c.inbox {
					size := min(s.len, max(s.unit, 1))
					if s.unit == 0 {
						size = s.len
					}
					if size < 8 || size > max(mss, minSendMSS) {
						c.Fatalf("MSS %d: a segment of %d bytes", mss, size)
					}
				}
			})
		}
	}
}

func TestAttack_H10_windowScale(t *testing.T) {
	for _, scale := range []int{0, 7, 14, 15, 32, 255} {
		converse(t, Config{}, func(c *talk) {
			c.accepted(peerOptions{mss: 1000, scale: scale})
			if got := c.table.Info(c.now, c.conn).SndScale; got != min(scale, 14) {
				c.Errorf("scale %d is taken as %d (RFC 7323, section 2.3)", scale, got)
			}
			c.send(seg{flags: ACK, seq: 1, ack: 1, win: 65535})
			if w := c.table.Info(c.now, c.conn).SndWnd; w != 65535<<min(scale, 14) {
				c.Errorf("window %d", w)
			}
		})
	}
}

func TestOptions_roundTrip(t *testing.T) {
	var w optionWriter
	w.mss(1460)
	w.windowScale(7)
	w.sackPermitted()
	w.timestamps(1, 2)
	w.sack([]span{{3, 4}})
	var o options
	o.parse(w.bytes())
	want := options{mss: 1460, scale: 7, hasScale: true, sackPermitted: true, hasTimestamps: true, tsVal: 1, tsEcr: 2, nsacks: 1}
	want.sacks[0] = span{3, 4}
	if !reflect.DeepEqual(o, want) {
		t.Errorf("%+v", o)
	}
}

// wellFormed judges the options field of a segment that left: each option but NOP has its length, the field ends with the last
// of them, so nothing is padded, and MSS, scale, SACK-permitted and Fast Open come with SYN only. receive calls it for every segment.
func wellFormed(flags Flags, b []byte) (kinds []byte, err error) {
	lengths := map[byte]int{optMSS: 4, optWindowScale: 3, optSACKPermitted: 2, optTimestamps: 10}
	for all := b; len(b) > 0; {
		kind := b[0]
		if kind == optNop {
			b = b[1:]
			continue
		}
		n, ok := lengths[kind]
		if len(b) > 1 && kind == optSACK {
			n, ok = int(b[1]), b[1] > 2 && b[1]%8 == 2
		}
		if len(b) > 1 && kind == optFastOpen { // RFC 7413, section 2: no cookie, or one of 4 to 16 bytes
			n, ok = int(b[1]), b[1] == 2 || b[1] >= 6 && b[1] <= 18 && b[1]%2 == 0
		}
		switch {
		case !ok || len(b) < 2 || int(b[1]) != n || n > len(b):
			return nil, fmt.Errorf("an option of kind %d is malformed: % x in % x", kind, b, all)
		case !flags.has(SYN) && (kind <= optSACKPermitted || kind == optFastOpen):
			return nil, fmt.Errorf("an option of kind %d without SYN", kind)
		}
		kinds = append(kinds, kind)
		b = b[n:]
	}
	return kinds, nil
}

// The headers of a connection's whole life, with all that they may carry (RFC 9293, MUST-65, MUST-68, MUST-69).
func TestOptions_headersAreWellFormed(t *testing.T) {
	for i, o := range []peerOptions{plain, sacking, modern} {
		converse(t, Config{}, func(c *talk) {
			c.accepted(o)
			for k := range 6 { // holes: up to four blocks
				c.send(seg{flags: ACK, seq: 1001 + 2000*k, ack: 1, len: 1000})
			}
			c.write(1, 3000)
			c.closeWrite()
			want := [][]byte{{optMSS}, {optMSS, optSACKPermitted, optSACK}, {optMSS, optWindowScale, optSACKPermitted, optTimestamps, optSACK}}
			for _, kind := range want[i] {
				if !c.kinds[kind] {
					c.Errorf("no option of kind %d has left", kind)
				}
			}
			c.discard()
		})
	}
}

// FuzzOptions: any option field parses, in bounded time, into something that can be.
func FuzzOptions(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 1, 3, 3, 7, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 4, 2, 0, 0})
	f.Add([]byte{5, 34, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{2, 0})
	f.Add([]byte{8})
	f.Fuzz(func(t *testing.T, b []byte) {
		var o options
		o.parse(b[:min(len(b), maxOptions)])
		if o.scale > maxWindowScale || o.nsacks > maxSACKBlocks || o.hasScale != (o.scale != 0) && o.scale != 0 {
			t.Errorf("%+v", o)
		}
	})
}

func TestFlags_String(t *testing.T) {
	if s := fmt.Sprint(SYN | ACK | CWR); s != "SAC" {
		t.Error(s)
	}
	if s := fmt.Sprint(TimeWait, numStates, DropPAWS, NumDrops, Reno, Congestion(9)); s != "TIME-WAIT State(11) paws unknown reno Congestion(9)" {
		t.Error(s)
	}
	for d := range NumDrops {
		if d.String() == "" {
			t.Errorf("reason %d has no name", d)
		}
	}
}

// The options of nearly all segments are read at once; with four bytes of padding the same are read one by one.
func TestOptions_timestampsAlone(t *testing.T) {
	var w optionWriter
	w.timestamps(0x80010203, 0xfffefdfc)
	for _, change := range []func([]byte){
		func([]byte) {}, func(b []byte) { b[0] = optEnd }, func(b []byte) { b[1] = optEnd }, func(b []byte) { b[2] = optSACK },
		func(b []byte) { b[3] = 9 }, func(b []byte) { b[3] = 1 }, func(b []byte) { b[3] = 255 },
	} {
		b := append([]byte{}, w.bytes()...)
		change(b)
		var alone, padded options
		alone.parse(b)
		padded.parse(append(b, optNop, optNop, optNop, optNop))
		if !reflect.DeepEqual(alone, padded) {
			t.Errorf("% x: %+v alone, %+v with padding", b, alone, padded)
		}
	}
}
