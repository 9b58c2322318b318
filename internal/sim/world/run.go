package world

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"tcpd/tcp"
)

// Result is what a run has to tell.
type Result struct {
	Seed    uint64
	Plans   int          // the generation of the plan
	Failure string       // what an oracle objected to; empty: nothing
	Virtual tcp.Duration // how long it took in its own time
	Packets uint64       // that arrived
	Bytes   uint64       // that applications read
	Plan    string       // what the seed decided; only after a failure
}

// Replay is the command that runs the seed again and shows what happens.
func (r *Result) Replay() string {
	s := fmt.Sprintf("go run ./internal/sim -seed %d -trace", r.Seed)
	if r.Plans != lastGeneration {
		s += fmt.Sprintf(" -plans %d", r.Plans)
	}
	return s
}

// Run runs the world of one seed. With a trace it writes what happens there, and checks after every event.
func Run(seed uint64, trace io.Writer) Result { return RunOld(seed, lastGeneration, trace) }

// RunOld runs the world that a seed stood for in an older generation of plans, counted from 1.
func RunOld(seed uint64, generation int, trace io.Writer) (r Result) {
	p := makePlan(seed, generation)
	r.Seed, r.Plans = seed, generation
	if trace != nil {
		fmt.Fprint(trace, &p)
	}
	w := newWorld(p, trace)
	defer func() {
		if x := recover(); x != nil {
			r.Failure, r.Plan = describe(x), p.String()
		}
		r.Virtual = w.now.Sub(p.origin)
		for _, e := range w.ends {
			r.Packets += e.arrived
		}
		for _, a := range w.apps {
			r.Bytes += uint64(a.got)
		}
	}()
	w.run()
	return r
}

func describe(x any) string {
	if v, ok := x.(violation); ok {
		return string(v)
	}
	return fmt.Sprintf("panic: %v\n%s", x, debug.Stack())
}

// Sweep runs n seeds from first on, as many at a time as there are processors. It calls done with each result, one call at
// a time and in no order, and stops early when done returns false.
func Sweep(first, n uint64, done func(Result) bool) {
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // every run leaves its tables behind
	var (
		next atomic.Uint64
		stop atomic.Bool
		lock sync.Mutex
		wait sync.WaitGroup
	)
	for range runtime.GOMAXPROCS(0) {
		wait.Go(func() {
			for i := next.Add(1) - 1; i < n && !stop.Load(); i = next.Add(1) - 1 {
				r := Run(first+i, nil)
				lock.Lock()
				if !done(r) {
					stop.Store(true)
				}
				lock.Unlock()
			}
		})
	}
	wait.Wait()
}
