package tcp

import (
	"testing"

	"tcpd/ip"
)

// unreachable lets an ICMP error arrive that quotes one of the table's segments.
func (c *talk) unreachable(kind ip.ICMPKind, seq, mtu int) Drop {
	c.Helper()
	m := ip.ICMP{Kind: kind, MTU: mtu, Embedded: ip.Embedded{
		Protocol: ip.ProtocolTCP, Src: c.flow.Local, Dst: c.flow.Remote, SrcPort: c.flow.LocalPort, DstPort: c.flow.RemotePort,
		Seq: uint32(c.iss.Add(seq)),
	}}
	d := c.table.Unreachable(c.now, &m)
	c.line("> ICMP %v, seq %d, MTU %d (%v)", kind, seq, mtu, d)
	c.check()
	c.settle()
	return d
}

func TestAttack_C01_pathMTU(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1400, scale: -1})
		c.write(1, 5600)
		c.want("segments of 1400", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 5600})
		for _, seq := range []int{-1, 0, 5601, 1 << 30} {
			c.wantDrop("what is not in flight was not too big (RFC 5927, section 4)", c.unreachable(ip.PacketTooBig, seq, 1300), DropICMPSequence)
		}
		c.wantDrop("larger than what we send", c.unreachable(ip.PacketTooBig, 1, 1500), DropPathMTU)
		c.wantIdle("nothing came of it")
		c.wantDrop("this one is credible", c.unreachable(ip.PacketTooBig, 1401, 1300), DropNone)
		mss := 1300 - c.flow.headerLen() - headerLen
		if i := c.table.Info(c.now, c.conn); i.MSS != mss || i.PathMTU != 1300 {
			c.Errorf("MSS %d, path MTU %d", i.MSS, i.PathMTU)
		}
		s := c.want("what was too big goes again", seg{flags: ACK | PSH, seq: 1, ack: 1, len: 5600})
		if s.unit != mss {
			c.Errorf("in segments of %d", s.unit)
		}
		if i := c.table.Info(c.now, c.conn); i.Ssthresh != 0 {
			c.Error("that is no congestion")
		}
		c.unreachable(ip.PacketTooBig, 1, 68)
		floor := minPathMTU4
		if !c.flow.Local.Is4() {
			floor = minPathMTU6
		}
		if i := c.table.Info(c.now, c.conn); i.PathMTU != floor {
			c.Errorf("path MTU %d, the floor is %d", i.PathMTU, floor)
		}
		if got := c.table.pathMTU(c.now, c.flow.Remote); int(got) != floor {
			c.Errorf("the next connection would start with %d", got)
		}
		if got := c.table.pathMTU(c.now.Add(pathMTUAge), c.flow.Remote); got != 1500 {
			c.Errorf("ten minutes later with %d", got)
		}
	})
}

func TestAttack_C01_withoutAnMTU(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1440, scale: -1})
		c.write(1, 1440)
		c.unreachable(ip.PacketTooBig, 1, 0)
		want := 1006 // what was too big has 1480 bytes
		if !c.flow.Local.Is4() {
			want = 1492 // of 1500
		}
		if i := c.table.Info(c.now, c.conn); i.PathMTU != want {
			c.Errorf("path MTU %d; RFC 1191's next plateau is %d", i.PathMTU, want)
		}
	})
}

func TestPathCache_isBounded(t *testing.T) {
	tb := NewTable(Config{})
	for i := range 3 * maxPaths {
		tb.rememberPath(0, ip.Addr{0: 0xfd, 1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i)}, 1300)
	}
	if len(tb.paths.mtu) != maxPaths || tb.paths.order.n != maxPaths {
		t.Errorf("%d paths, %d in order", len(tb.paths.mtu), tb.paths.order.n)
	}
}

func TestAttack_C02_hardErrors(t *testing.T) {
	kinds := map[ip.ICMPKind]error{
		ip.PortUnreachable: ErrRefused, ip.ProtocolUnreachable: ErrRefused, ip.AdminProhibited: ErrRefused,
		ip.HostUnreachable: ErrUnreachable, ip.NetUnreachable: ErrUnreachable, ip.TimeExceeded: nil,
	}
	for kind, want := range kinds {
		converse(t, Config{}, func(c *talk) {
			c.connect(Options{})
			c.wantDrop("a guess", c.unreachable(kind, 5, 0), DropICMPSequence)
			c.wantState("changes nothing", SynSent)
			c.unreachable(kind, 0, 0)
			if c.conn.Err() != want {
				c.Errorf("%v while connecting: %v", kind, c.conn.Err())
			}
			c.close()
		})
		converse(t, Config{}, func(c *talk) {
			c.accepted(plain)
			c.write(1, 100)
			c.wantDrop("once connected it is soft (RFC 5927, section 5.2)", c.unreachable(kind, 1, 0), DropICMPSoft)
			c.wantState("nothing changes", Established)
			c.flow.RemotePort++
			c.wantDrop("no such connection", c.unreachable(kind, 1, 0), DropICMPFlow)
		})
	}
}

func TestSetMTU_reachesLiveConnections(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1440, scale: -1})
		c.table.SetMTU(1300)
		c.write(1, 5000)
		if s := c.inbox[0]; s.unit != 1300-c.flow.headerLen()-headerLen {
			c.Errorf("segments of %d", s.unit)
		}
		c.table.SetMTU(9000)
		if i := c.table.Info(c.now, c.conn); i.PathMTU != 9000 || i.MSS != 1440 {
			c.Errorf("path MTU %d, MSS %d", i.PathMTU, i.MSS)
		}
	})
}

// TestSetMTU_afterTimeout: the window that a time-out left is one segment, and still one when segments grow.
func TestSetMTU_afterTimeout(t *testing.T) {
	converse(t, Config{MTU: 1300}, func(c *talk) {
		c.accepted(peerOptions{mss: 1440, scale: -1})
		c.write(1, 2000)
		c.inbox = c.inbox[:0]
		for c.table.Info(c.now, c.conn).Timeouts == 0 {
			c.advanceToTimer()
		}
		c.inbox = c.inbox[:0]
		c.table.SetMTU(1500)
		c.check()
		if i := c.table.Info(c.now, c.conn); i.MSS != 1440 || i.Cwnd < i.MSS {
			c.Errorf("MSS %d, congestion window %d", i.MSS, i.Cwnd)
		}
	})
}

// TestPath_largerReport: a router that carries more does not take back what a narrower one has said (RFC 8201, section 4).
func TestPath_largerReport(t *testing.T) {
	converse(t, Config{}, func(c *talk) {
		c.accepted(peerOptions{mss: 1460, scale: -1})
		c.write(1, 5600)
		first, flow, iss := c.conn, c.flow, c.iss
		c.flow.RemotePort++
		c.knowISS = false
		c.discard()
		c.handshake(peerOptions{mss: 1460, scale: -1})
		c.conn = c.table.Accept(c.listener)
		c.write(1, 5600)
		c.discard()
		second, itsFlow, itsISS := c.conn, c.flow, c.iss
		c.conn, c.flow, c.iss = first, flow, iss
		c.wantDrop("the first is told of 1300", c.unreachable(ip.PacketTooBig, 1, 1300), DropNone)
		c.discard()
		c.conn, c.flow, c.iss = second, itsFlow, itsISS
		c.wantDrop("the second of 1450", c.unreachable(ip.PacketTooBig, 1, 1450), DropNone)
		c.discard()
		if got := c.table.pathMTU(c.now, flow.Remote); got != 1300 {
			c.Errorf("the path carries %d now", got)
		}
		c.table.followPath(c.now, first)
		if first.pathMTU != 1300 {
			c.Errorf("the first connection sends %d", first.pathMTU)
		}
		c.settle()
		c.discard()
	})
}
