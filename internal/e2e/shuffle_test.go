package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tcpd/ip"
	"tcpd/tcp"
)

// TestShuffledSegments: a peer that is not the kernel sends the segments of a message in every order of four, and in 1,000
// random orders of 64 with overlaps and duplicates, without waiting for an acknowledgement. The echo is the message, and an
// acknowledgement covers it all.
func TestShuffledSegments(t *testing.T) {
	ns := newNamespace(t, "segments that arrive shuffled, from a peer other than the kernel")
	start(t, ns, settings{services: []string{echoService}})
	link := newRawLink(t, ns, "tcp0")
	port := uint16(20000)
	send := func(pieces []piece, message []byte) error {
		port++
		p := &rawPeer{link: link, flow: shuffledFlow(port), iss: tcp.Seq(port) * 0x9e3779b9}
		return echoOf(p, pieces, message)
	}
	began := time.Now()
	for order := range permutations(4) {
		message := []byte("One message in four pieces, whichever comes first.")
		var pieces []piece
		for _, i := range order {
			pieces = append(pieces, piece{i * 13, min(i*13+13, len(message))})
		}
		for range 2 { // both families
			if err := send(pieces, message); err != nil {
				t.Errorf("order %v: %v", order, err)
			}
		}
	}
	for seed := range uint64(1000) {
		r := rand.New(rand.NewPCG(seed, 64))
		message := make([]byte, 64+r.IntN(12_000))
		for i := range message {
			message[i] = byte(r.Uint32())
		}
		if err := send(shuffledPieces(r, len(message)), message); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
	t.Logf("1,048 connections in %v", time.Since(began))
}

// shuffledFlow is IPv4 and IPv6 in turn.
func shuffledFlow(port uint16) tcp.Flow {
	from, to := "10.77.0.77", "10.77.0.2"
	if port%2 == 1 {
		from, to = "fd77::77", "fd77::2"
	}
	return tcp.Flow{
		Local: ip.AddrFrom(netip.MustParseAddr(from)), LocalPort: port, Remote: ip.AddrFrom(netip.MustParseAddr(to)), RemotePort: 7,
	}
}

// rawMSS is what fits into a segment over either family.
const rawMSS = 1440

// piece is a part of a message.
type piece struct{ start, end int }

// shuffledPieces returns 64 pieces that cover size bytes, in random order: 40 without overlap, of which some are then made
// longer, and 24 that repeat anything.
func shuffledPieces(r *rand.Rand, size int) []piece {
	cuts := map[int]bool{}
	for len(cuts) < 39 {
		cuts[1+r.IntN(size-1)] = true
	}
	var pieces []piece
	last := 0
	for at := 1; at <= size; at++ {
		if cuts[at] || at == size {
			pieces = append(pieces, piece{last, at})
			last = at
		}
	}
	for i := range pieces {
		if r.IntN(3) == 0 {
			pieces[i].start = max(pieces[i].start-r.IntN(300), 0)
			pieces[i].end = min(pieces[i].end+r.IntN(300), size)
		}
	}
	for len(pieces) < 64 {
		start := r.IntN(size)
		pieces = append(pieces, piece{start, min(start+1+r.IntN(1000), size)})
	}
	r.Shuffle(len(pieces), func(i, j int) { pieces[i], pieces[j] = pieces[j], pieces[i] })
	return pieces
}

// echoOf sends the pieces and wants the message back, then ends the connection by RST: a thousand records of TIME-WAIT
// would prove nothing.
func echoOf(p *rawPeer, pieces []piece, message []byte) error {
	deadline := time.Now().Add(hung)
	if err := p.open(deadline); err != nil {
		return err
	}
	for _, x := range pieces {
		for at := x.start; at < x.end; at += rawMSS {
			if err := p.send(tcp.ACK, at, p.irs+1, nil, message[at:min(at+rawMSS, x.end)]); err != nil {
				return err
			}
		}
	}
	if err := p.collect(len(message), deadline); err != nil {
		return err
	}
	if !bytes.Equal(p.echoed, message) {
		return fmt.Errorf("the echo of %d bytes is not the message of %d", len(p.echoed), len(message))
	}
	return p.send(tcp.RST, len(message), 0, nil, nil)
}

// permutations yields all orders of n numbers.
func permutations(n int) func(yield func([]int) bool) {
	return func(yield func([]int) bool) {
		order := make([]int, n)
		for i := range order {
			order[i] = i
		}
		var permute func(k int) bool
		permute = func(k int) bool {
			if k == n {
				return yield(order)
			}
			for i := k; i < n; i++ {
				order[k], order[i] = order[i], order[k]
				more := permute(k + 1)
				order[k], order[i] = order[i], order[k]
				if !more {
					return false
				}
			}
			return true
		}
		permute(0)
	}
}
