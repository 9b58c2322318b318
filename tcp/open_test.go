package tcp

import (
	"testing"

	"tcpd/ip"
)

// peerOptions say what the peer's SYN offers.
type peerOptions struct {
	mss        int
	scale      int // -1: not offered
	sack, ts   bool
	listen     ListenOptions
	initialWin int
}

// plain is a peer with nothing but an MSS of 1000, which makes numbers easy to follow.
var plain = peerOptions{mss: 1000, scale: -1}

// modern is a peer with everything.
var modern = peerOptions{mss: 1000, scale: 7, sack: true, ts: true}

func (o *peerOptions) syn(clock uint32) []byte {
	var w optionWriter
	if o.mss != 0 {
		w.mss(uint16(o.mss))
	}
	if o.scale >= 0 {
		w.windowScale(uint8(o.scale))
	}
	if o.sack {
		w.sackPermitted()
	}
	if o.ts {
		w.timestamps(clock, 0)
	}
	return append([]byte{}, w.bytes()...)
}

func (c *talk) listen(o ListenOptions) {
	c.Helper()
	id, err := c.table.Listen(ip.Addr{}, c.flow.LocalPort, o)
	if err != nil {
		c.Fatal(err)
	}
	c.listener = id
}

// accepted opens a connection from the peer and takes it.
func (c *talk) accepted(o peerOptions) {
	c.Helper()
	c.listen(o.listen)
	c.handshake(o)
	c.conn = c.table.Accept(c.listener)
	if c.conn == nil {
		c.Fatal("nothing to accept after the handshake")
	}
	c.settle()
	c.events = nil
}

// handshake is the peer's half of a passive open; the round trip takes 10 ms.
func (c *talk) handshake(o peerOptions) {
	c.Helper()
	c.send(seg{flags: SYN, win: o.initialWin, opts: o.syn(c.peerClock())})
	c.want("a SYN to a listener is answered", seg{flags: SYN | ACK, ack: 1})
	c.advance(10 * Millisecond)
	c.ts = o.ts
	c.send(seg{flags: ACK, seq: 1, ack: 1, win: o.initialWin})
	c.wantIdle("the handshake is over")
}

// connected opens a connection to the peer.
func (c *talk) connected(o peerOptions) {
	c.Helper()
	c.connect(o.listen.Options)
	c.want("Connect sends a SYN", seg{flags: SYN})
	c.advance(10 * Millisecond)
	c.send(seg{flags: SYN | ACK, ack: 1, win: o.initialWin, opts: o.synAck(c)})
	c.ts = o.ts
	c.want("the SYN-ACK is acknowledged", seg{flags: ACK, seq: 1, ack: 1})
	c.wantEvent("the connection is open", EventConnected)
	c.wantState("after the handshake", Established)
	c.events = nil
}

func (o *peerOptions) synAck(c *talk) []byte {
	b := o.syn(c.peerClock())
	if o.ts {
		var w optionWriter
		w.timestamps(c.peerClock(), c.tsRecent)
		b = append(b[:len(b)-timestampsLen], w.bytes()...)
	}
	return b
}

func (c *talk) connect(o Options) {
	c.Helper()
	conn, err := c.table.Connect(c.now, c.flow, o)
	if err != nil {
		c.Fatal(err)
	}
	c.line("  connect")
	c.conn = conn
	c.settle()
}

// What an application reads before the handshake of a Fast Open ends makes room as well, and the client is told.
func TestFastOpen_whatIsReadBeforeTheHandshakeEnds(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.listen(ListenOptions{Options: Options{ReceiveBuffer: 1000, FastOpen: FastOpenServer}})
		cookie := c.table.secret.fastOpenCookie(&c.flow, int64(c.now)/int64(fastOpenEpoch))
		var w optionWriter
		w.mss(1000)
		w.fastOpen(cookie[:])
		c.send(seg{flags: SYN, data: string(pattern(0, 1000)), opts: w.bytes()})
		c.want("its data is taken", seg{flags: SYN | ACK, ack: 1001})
		c.conn = c.table.Accept(c.listener)
		c.wantRead("the whole window", 1, 1000)
		c.send(seg{flags: ACK, seq: 1001, ack: 1})
		c.want("the window opens", seg{flags: ACK, seq: 1, ack: 1001, win: 1000})
		c.discard()
	})
}
