package main

import (
	"os"
	"runtime"
)

// shareProcessors lets Go code run on half of the processors, unless GOMAXPROCS says otherwise. The kernel's receive path runs
// inside our writes, its send path in those of the peers on this machine, and they need the other half. With more, threads wake
// each other for work that is done before they are there: docs/performance.md has the numbers.
func shareProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0)/2, 1))
	}
}
