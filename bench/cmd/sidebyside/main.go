// Command sidebyside measures tcpd, gVisor's netstack and the kernel's TCP on the same work in turns, and prints their ratios as a
// Markdown table. It needs root, for network namespaces of its own, which end with it.
//
//	go run ./cmd/sidebyside                                    5 rounds, under ten minutes
//	go run ./cmd/sidebyside -quick                             2 short rounds, under two
//	go run ./cmd/sidebyside -only '^down' -contenders gvisor,tcpd,tcpd-events
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"math"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"tcpd/bench/internal/machine"
)

type options struct {
	quick            bool
	only, contenders string
	json             string
	rounds           int
	time             time.Duration
	patience, limit  time.Duration
	ownClient        bool
}

func main() {
	log.SetFlags(0)
	var err error
	switch {
	case len(os.Args) > 1 && os.Args[1] == "serve":
		err = serve(os.Args[2:])
	case len(os.Args) > 1 && os.Args[1] == "load":
		err = runLoad(os.Args[2:])
	default:
		err = compare()
	}
	if err != nil {
		log.Fatalf("sidebyside: %v", err)
	}
}

func parse() (o options) {
	flag.BoolVar(&o.quick, "quick", false, "2 short rounds, under two minutes")
	flag.StringVar(&o.only, "only", "", "works whose name matches this regular expression; one that matches none names them")
	flag.StringVar(&o.contenders, "contenders", "gvisor,kernel,tcpd", "of gvisor, kernel, tcpd and tcpd-events, whose "+
		"services echo and discard are called on the shard and move bytes without a copy of their own")
	flag.StringVar(&o.json, "json", "", "file with all samples")
	flag.IntVar(&o.rounds, "rounds", 0, "samples of each work and contender")
	flag.DurationVar(&o.time, "time", 0, "measured time of a sample; wrk takes whole seconds")
	flag.DurationVar(&o.patience, "patience", 0, "time for taking samples again that other processes disturbed")
	flag.DurationVar(&o.limit, "limit", 0, "time after which no sample is begun")
	flag.BoolVar(&o.ownClient, "own-client", false, "measure HTTP with the client of this program even if there is wrk")
	flag.Parse()
	rounds, length, patience, limit := 5, 600*time.Millisecond, 2*time.Minute, 570*time.Second
	if o.quick {
		rounds, length, patience, limit = 2, 400*time.Millisecond, 15*time.Second, 105*time.Second
	}
	o.rounds, o.time = cmp.Or(o.rounds, rounds), cmp.Or(o.time, length)
	o.patience, o.limit = cmp.Or(o.patience, patience), cmp.Or(o.limit, limit)
	return o
}

// works are what the flags choose.
func (o *options) works() (works []work, err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var names []string
	for _, w := range allWorks {
		names = append(names, w.name)
		if only.MatchString(w.name) {
			works = append(works, w)
		}
	}
	if len(works) == 0 {
		return nil, fmt.Errorf("-only %q matches none of the works %s", o.only, strings.Join(names, ", "))
	}
	return works, nil
}

func compare() error {
	o := parse()
	works, err := o.works()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	f, err := newField(strings.Split(o.contenders, ","))
	if err != nil {
		return err
	}
	defer f.close()
	s := &session{
		field: f, wrk: findWrk(), warm: 250 * time.Millisecond, time: o.time, patience: o.patience,
		samples: map[string]map[string][]sample{},
	}
	if o.ownClient {
		s.wrk = ""
	}
	if err := s.run(ctx, works, o.rounds); err != nil {
		return err
	}
	fmt.Printf("%s; %s.\n%s\n%s\n%s", machine.Name(), time.Now().Format(time.DateOnly), s.method(&o), s.markdown(), s.remarks())
	return s.write(o.json)
}

// method says how the numbers were made.
func (s *session) method(o *options) string {
	client := "wrk, one thread, 1 s"
	if s.wrk == "" {
		client = "this program's own client, a goroutine for each connection"
	}
	return fmt.Sprintf("Medians of %s samples, %v each. MTU %d; the clients are the kernel's TCP (cubic), the HTTP client is\n%s. "+
		"gVisor %s. At rows with * less is better.\n", s.counts(), o.time, mtu, client, gvisorVersion())
}

// counts says how many samples the medians are of.
func (s *session) counts() string {
	least, most := math.MaxInt, 0
	for _, by := range s.samples {
		for _, samples := range by {
			least, most = min(least, len(samples)), max(most, len(samples))
		}
	}
	if least < most {
		return fmt.Sprintf("%d to %d", least, most)
	}
	return fmt.Sprint(most)
}

// gvisorVersion is the date and the commit in the version of its module.
func gvisorVersion() string {
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, m := range info.Deps {
			if m.Path == "gvisor.dev/gvisor" {
				return m.Version
			}
		}
	}
	return "of an unknown version"
}

func (s *session) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s.samples, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
