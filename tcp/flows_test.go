package tcp

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"tcpd/ip"
)

// flowNumber makes the flow of a client; even numbers are IPv4.
func flowNumber(i uint32) Flow {
	f := peerFlows[i%2]
	a := &f.Remote
	a[13], a[14], a[15] = byte(i>>16), byte(i>>8), byte(i)
	f.RemotePort = uint16(i >> 8)
	return f
}

// TestFlows_asAMap enters and removes flows at random, far up and down again, and looks for all of them and for others.
func TestFlows_asAMap(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 1))
		table := NewTable(Config{Secret: [16]byte{byte(seed)}})
		want := map[uint32]ref{} // by number of flow
		var entered []uint32
		for step := range 40_000 {
			grows := step%20_000 < 10_000
			if r.IntN(10) < 2 != grows {
				n := uint32(r.IntN(1 << 20))
				f := flowNumber(n)
				i := table.waits.records.get()
				table.waits.records.at(i).flow = f
				if want[n] == 0 {
					entered = append(entered, n)
				}
				want[n] = makeRef(refTimeWait, i)
				table.enter(&f, want[n])
			} else if len(entered) > 0 {
				k := r.IntN(len(entered))
				n := entered[k]
				f := flowNumber(n)
				table.leave(&f, makeRef(refHalf, 1)) // another record's: nothing happens
				table.leave(&f, want[n])
				delete(want, n)
				entered[k] = entered[len(entered)-1]
				entered = entered[:len(entered)-1]
			}
			n := uint32(r.IntN(1 << 20))
			if f := flowNumber(n); table.find(&f) != want[n] {
				t.Fatalf("seed %d, step %d: flow %d is found as %d, want %d", seed, step, n, table.find(&f), want[n])
			}
			if table.flows.n != len(want) || step%1000 == 0 && table.flows.count() != len(want) {
				t.Fatalf("seed %d, step %d: %d entries, counted %d, want %d", seed, step, table.flows.count(), table.flows.n, len(want))
			}
		}
		for n, r := range want {
			if f := flowNumber(n); table.find(&f) != r {
				t.Fatalf("seed %d: flow %d is lost", seed, n)
			}
		}
	}
}

// Without room in its two buckets an entry is still found, and the table grows.
func TestFlows_fullBuckets(t *testing.T) {
	table := NewTable(Config{})
	h := &table.flows
	h.resize()
	for _, i := range [2]uint32{3, 5} {
		for s := range h.cur.make(i) {
			h.cur.make(i)[s] = flowSlot{tag: ^uint32(0), ref: makeRef(refHalf, uint32(table.halves.get()))}
		}
	}
	f := peerFlows[0]
	i := table.waits.records.get()
	table.waits.records.at(i).flow = f
	tag := table.secret.flowTag(&f)
	p, q := h.cur.pair(tag)
	*h.cur.make(p), *h.cur.make(q) = *h.cur.make(3), *h.cur.make(5)
	table.enter(&f, makeRef(refTimeWait, i))
	if len(h.spilled) != 1 || table.find(&f) != makeRef(refTimeWait, i) {
		t.Fatalf("%d spilled, found as %d", len(h.spilled), table.find(&f))
	}
	h.resize()
	if len(h.spilled) != 0 || h.cur.n != 2*minBuckets || table.find(&f) != makeRef(refTimeWait, i) {
		t.Fatalf("%d spilled, %d buckets, found as %d", len(h.spilled), h.cur.n, table.find(&f))
	}
}

// Of a million flows few slots are empty, and none has no room: what a table costs is known.
func TestFlows_areDense(t *testing.T) {
	const n = 300_000
	table := NewTable(Config{})
	for i := range uint32(n) {
		f := Flow{Local: ip.Addr4([4]byte{10, 77, 0, 2}), Remote: ip.Addr4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), LocalPort: 7}
		k := table.waits.records.get()
		table.waits.records.at(k).flow = f
		table.enter(&f, makeRef(refTimeWait, k))
		if len(table.flows.spilled) > 4 {
			t.Fatalf("%d entries of %d found no room", len(table.flows.spilled), i)
		}
	}
	if slots := table.flows.cur.n * bucketSlots; slots > 2*n {
		t.Errorf("%d slots for %d entries", slots, n)
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []uint32{10, 1000, 100_000, 1_000_000} {
		table := NewTable(Config{})
		for i := range n {
			f := flowNumber(i)
			k := table.waits.records.get()
			table.waits.records.at(k).flow = f
			table.enter(&f, makeRef(refTimeWait, k))
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			i := uint32(1)
			for b.Loop() {
				i = i*1664525 + 1013904223
				f := flowNumber(i % n)
				if table.find(&f) == 0 {
					b.Fatal("lost")
				}
			}
		})
	}
}
