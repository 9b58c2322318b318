package main

import (
	"os"
	"runtime"
)

// processors is how many Go code may run on.
var processors = runtime.GOMAXPROCS(0)

// shareProcessors lets Go code run on half of the processors, unless GOMAXPROCS says otherwise. The kernel's receive path runs
// inside our writes, its send path in those of the peers on this machine, and they need the other half. With more, threads wake
// each other for work that is done before they are there: docs/performance.md has the numbers.
func shareProcessors() {
	if !processorsGiven() {
		runtime.GOMAXPROCS(max(processors/2, 1))
	}
}

// processorsGiven reports that somebody has decided how many processors we use.
func processorsGiven() bool { return os.Getenv("GOMAXPROCS") != "" }

// govern takes the other half while many flows at once make use of it.
func (d *daemon) govern() {
	if !processorsGiven() {
		go d.stack.Govern(processors)
	}
}
