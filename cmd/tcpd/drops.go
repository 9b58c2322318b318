package main

import (
	"cmp"
	"slices"

	"tcpd/ether"
	"tcpd/ip"
	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// dropStatus is how many packets one part of the stack dropped for one reason.
type dropStatus struct {
	Layer  string `json:"layer"`
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// drops returns every reason for which a packet from the link can be dropped, with its count. Reasons are a closed set.
func drops(s stack.Stats, l tun.Stats) []dropStatus {
	var list []dropStatus
	for r := tun.HeaderOK + 1; r < tun.NumHeaderDrops; r++ {
		list = append(list, dropStatus{"link", r.String(), l.HeaderDrops[r]})
	}
	if l.Ether != nil {
		for r := ether.Accepted + 1; r < ether.NumDrops; r++ {
			list = append(list, dropStatus{"link", r.String(), l.Ether.Drops[r]})
		}
	}
	for r := ip.DropNone + 1; r < ip.NumDrops; r++ {
		list = append(list, dropStatus{"ip", r.String(), s.IPDrops[r]})
	}
	for r := stack.DropNone + 1; r < stack.NumDrops; r++ {
		list = append(list, dropStatus{"stack", r.String(), s.Drops[r]})
	}
	for r := tcp.DropNone + 1; r < tcp.NumDrops; r++ {
		list = append(list, dropStatus{"tcp", r.String(), s.TCPDrops[r]})
	}
	return list
}

// frequent returns those that happened, the most frequent first.
func frequent(list []dropStatus) []dropStatus {
	list = slices.DeleteFunc(list, func(d dropStatus) bool { return d.Count == 0 })
	slices.SortStableFunc(list, func(a, b dropStatus) int { return cmp.Compare(b.Count, a.Count) })
	return list
}
