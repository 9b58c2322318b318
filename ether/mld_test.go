package ether

import (
	"strings"
	"testing"

	"tcpd/ip"
)

// query is a general query of a router.
func query(src string, hops uint8) []byte {
	h := ip.Header{Src: addr(src), Dst: allNodes, TTL: hops, PayloadLen: hopByHopLen + 28}
	b := make([]byte, h.Len()+h.PayloadLen)
	rest := b[h.Put(b):]
	copy(rest, routerAlert[:])
	icmp := rest[hopByHopLen:]
	icmp[0], icmp[4], icmp[5] = mldQuery, 0x27, 0x10 // ten seconds
	sum := ^ip.Sum(icmp, ip.PseudoSum(h.Src, h.Dst, ip.ProtocolICMPv6, len(icmp)))
	icmp[2], icmp[3] = byte(sum>>8), byte(sum)
	return frameOf(multicast6(allNodes), mac(9), typeIPv6, b...)
}

// We join the group of each address before we ask for it, and say so again to a router that asks.
func TestGroupsAreJoined(t *testing.T) {
	l := newLAN(t)
	a := l.add(1, "10.0.0.1/24", "fd00::1/64", "fd01::1/64", "fd00::7/64")
	l.run(20 * second)
	const group = "04000000ff0200000000000000000001ff00000"
	unasked := "report " + group + "1" + group + "7"
	if first := l.wire[0]; !strings.HasSuffix(first, unasked) || !strings.Contains(first, "> 33:33:00:00:00:16") {
		t.Errorf("the first frame is %q, want %q", first, unasked)
	}
	before := len(l.wire)
	l.inject(a, query("fe80::9", 1))
	l.run(second)
	l.want("one report in answer to the query", len(l.wire) == before+1 && l.said("report 02000000") == 1)
	for _, f := range [][]byte{query("fd00::9", 1), query("fe80::9", 64)} {
		l.inject(a, f)
	}
	l.run(second)
	l.want("who is no neighbour is not answered", len(l.wire) == before+1 && a.Counters().Drops[FrameGroup] == 2)
	l.explain()

	l = newLAN(t)
	l.add(1, "10.0.0.1/24")
	l.run(20 * second)
	l.want("without IPv6 there is nothing to report", l.said("report") == 0)
}
