package stack

import (
	"fmt"
	"strings"
	"time"

	"tcpd/tcp"
)

// Info returns what TCP knows of the connection, the zero value after Close.
func (c *Conn) Info() tcp.Info {
	sh := c.shard
	now := sh.lock()
	defer sh.leave(now)
	if c.core == nil {
		return tcp.Info{Flow: c.flow}
	}
	return sh.table.Info(now, c.core)
}

// Describe returns the connection in words: pairs of a name and a value, for people.
func (c *Conn) Describe() [][2]string {
	i := c.Info()
	return [][2]string{
		{"local address", c.LocalAddr().String()},
		{"remote address", c.RemoteAddr().String()},
		{"state", i.State.String()},
		{"options", describeOptions(&i)},
		{"segment size", fmt.Sprintf("%d bytes (path MTU %d)", i.MSS, i.PathMTU)},
		{"round-trip time", describeRTT(&i)},
		{"retransmission timeout", duration(i.RTO)},
		{"congestion control", i.Congestion.String()},
		{"congestion window", fmt.Sprintf("%d bytes", i.Cwnd)},
		{"send window", fmt.Sprintf("%d bytes", i.SndWnd)},
		{"receive window", fmt.Sprintf("%d bytes", i.RcvWnd)},
		{"bytes received", fmt.Sprintf("%d in %d packets", i.BytesReceived, i.SegmentsIn)},
		{"bytes sent", fmt.Sprintf("%d in %d packets, %d acknowledged", i.BytesSent, i.SegmentsOut, i.BytesAcked)},
		{"retransmitted segments", fmt.Sprint(i.Retransmits)},
		{"age", duration(i.Age)},
	}
}

func describeOptions(i *tcp.Info) string {
	var o []string
	if i.SACK {
		o = append(o, "SACK")
	}
	if i.Timestamps {
		o = append(o, "timestamps")
	}
	if i.ECN {
		o = append(o, "ECN")
	}
	if i.SndScale > 0 || i.RcvScale > 0 {
		o = append(o, fmt.Sprintf("window scale %d (theirs), %d (ours)", i.SndScale, i.RcvScale))
	}
	if len(o) == 0 {
		return "none"
	}
	return strings.Join(o, ", ")
}

func describeRTT(i *tcp.Info) string {
	if i.RTT == 0 {
		return "not measured yet"
	}
	return fmt.Sprintf("%s ± %s, at least %s", duration(i.RTT), duration(i.RTTVar), duration(i.MinRTT))
}

// duration prints three digits or so: nobody reads nanoseconds of a second.
func duration(d tcp.Duration) string {
	t := time.Duration(d)
	switch {
	case t > time.Second:
		t = t.Round(10 * time.Millisecond)
	case t > time.Millisecond:
		t = t.Round(10 * time.Microsecond)
	}
	return t.String()
}
