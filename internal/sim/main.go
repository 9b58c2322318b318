// Command sim runs the simulator of internal/sim/world over many seeds. Each seed that fails is printed with the command
// that replays it and shows everything that happens there.
//
//	go run ./internal/sim -seeds 100000 -from 1
//	go run ./internal/sim -seed 4711 -trace
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"tcpd/internal/sim/world"
	"tcpd/tcp"
)

func main() {
	seeds := flag.Uint64("seeds", 10_000, "how many seeds to run")
	from := flag.Uint64("from", 1, "the first seed")
	seed := flag.Uint64("seed", 0, "run this seed only")
	most := flag.Int("failures", 20, "stop after so many failures")
	trace := flag.Bool("trace", false, "show everything that happens; one seed at a time")
	plans := flag.Int("plans", world.Generations, "with -trace: the generation of plans that the seed belongs to")
	flag.Parse()
	if *seed != 0 {
		*from, *seeds = *seed, 1
	}
	if !sweep(*from, *seeds, *most, *trace, *plans) {
		os.Exit(1)
	}
}

// sweep runs the seeds, prints failures and a summary, and reports whether all went well.
func sweep(from, n uint64, most int, trace bool, plans int) bool {
	begin := time.Now()
	var runs, packets, bytes uint64
	var virtual tcp.Duration
	failures := 0
	done := func(r world.Result) bool {
		runs, packets, bytes, virtual = runs+1, packets+r.Packets, bytes+r.Bytes, virtual+r.Virtual
		if r.Failure != "" {
			failures++
			fmt.Printf("seed %d: %s\n    replay: %s\n", r.Seed, r.Failure, r.Replay())
		}
		return failures < most
	}
	if trace {
		replay(from, n, plans, os.Stdout, done)
	} else {
		world.Sweep(from, n, done)
	}
	took := time.Since(begin)
	fmt.Printf("%d seeds in %.1f s: %d failed; %.1f virtual hours, %d packets (%.0f a second), %d MB\n", runs, took.Seconds(),
		failures, float64(virtual)/float64(tcp.Hour), packets, float64(packets)/took.Seconds(), bytes>>20)
	return failures == 0
}

func replay(from, n uint64, plans int, out io.Writer, done func(world.Result) bool) {
	for i := range n {
		if !done(world.RunOld(from+i, plans, out)) {
			return
		}
	}
}
