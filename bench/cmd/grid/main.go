// Command grid measures the goodput of one TCP connection over an emulated link, tcpd against Linux, for many round-trip
// times, loss rates and queues. It needs root for network namespaces of its own, which end with it.
//
//	go run ./cmd/grid -quick                                 under four minutes
//	go run ./cmd/grid -report ../docs/grid.md                everything, under forty
//	go run ./cmd/grid -only 'down/20ms/deep/loss1%' -captures /tmp   one cell, with the packets at both ends
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"
)

type options struct {
	quick                  bool
	only, binary, captures string
	report, json           string
	congestion, settings   string
	mbit                   float64
	rounds                 int
	patience               time.Duration
	seed                   uint64
	v6                     bool
}

func main() {
	log.SetFlags(0)
	var o options
	flag.BoolVar(&o.quick, "quick", false, "the cells that show most")
	flag.StringVar(&o.only, "only", "", "cells whose name matches this regular expression")
	flag.StringVar(&o.binary, "tcpd", "", "tcpd's binary; empty: built from this tree")
	flag.StringVar(&o.congestion, "congestion", "cubic", "congestion control of both")
	flag.StringVar(&o.settings, "settings", "", "further settings of tcpd's section tcp, such as 'send_buffer: 32MiB'")
	flag.StringVar(&o.report, "report", "", "Markdown file; empty: standard output")
	flag.StringVar(&o.json, "json", "", "file with all samples")
	flag.StringVar(&o.captures, "captures", "", "directory for pcap files of every round, 120 bytes a packet")
	flag.Float64Var(&o.mbit, "mbit", 100, "rate of the link, Mbit/s")
	flag.IntVar(&o.rounds, "rounds", 2, "rounds of samples in each cell")
	flag.DurationVar(&o.patience, "patience", 5*time.Minute, "time for taking rounds again that other processes disturbed")
	flag.Uint64Var(&o.seed, "seed", 1, "first seed")
	flag.BoolVar(&o.v6, "6", false, "over IPv6")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		log.Fatalf("grid: %v", err)
	}
}

func run(ctx context.Context, o options) error {
	// The emulators' threads must wait neither for one of Go's processors, some of which belong to threads that are waiting
	// for a real one, nor for a collection that stops the world: it happens between samples.
	runtime.GOMAXPROCS(16)
	debug.SetGCPercent(-1)
	cells, err := o.cells()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "tcpd-grid-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.binary == "" {
		o.binary = filepath.Join(dir, "tcpd")
		if err := build(o.binary); err != nil {
			return err
		}
	}
	client, err := newNamespace()
	if err != nil {
		return err
	}
	defer client.Close()
	linux, err := newLinux(client, o.congestion, o.v6)
	if err != nil {
		return err
	}
	defer linux.close()
	tcpd, err := newTcpd(client, dir, &o)
	if err != nil {
		return err
	}
	defer tcpd.close()
	f := &file{Taken: time.Now(), Kernel: kernel(), Congestion: o.congestion, Mbit: o.mbit, Seed: o.seed}
	if f.Accuracy, err = measureAccuracy(client, linux, o.mbit*1e6); err != nil {
		return err
	}
	log.Printf("emulator: %v", f.Accuracy)
	s := &sampler{client: client, congestion: o.congestion, rate: o.mbit * 1e6, captures: o.captures, tcpd: tcpd.pid}
	for i, c := range cells {
		r, err := s.measure(ctx, c, []*contender{linux, tcpd}, &o)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		f.Results = append(f.Results, r)
		log.Printf("%3d/%d %-42s tcpd %6.2f linux %6.2f ratio %.2f%s", i+1, len(cells), r.Name,
			r.Sides["tcpd"].median(), r.Sides["linux"].median(), r.ratio(), r.warnings())
	}
	return o.write(f)
}

// measure takes all samples of a cell. The contenders take turns, every second round the other way round. A round that others
// disturbed is taken again while there is patience.
func (s *sampler) measure(ctx context.Context, x cell, contenders []*contender, o *options) (*result, error) {
	r := &result{Cell: x, Name: x.String(), Sides: map[string]*by{}}
	for _, c := range contenders {
		r.Sides[c.name] = &by{}
	}
	seed := o.seed
	for n := 0; n < o.rounds && ctx.Err() == nil; n++ {
		var seeds []uint64
		for i := range x.together() {
			seeds = append(seeds, seed+uint64(i))
		}
		start := time.Now()
		sides, disturbed, err := s.round(x, contenders, n%2, seeds)
		if err != nil {
			return nil, err
		}
		if disturbed && o.patience > 0 {
			o.patience -= time.Since(start)
			n--
			continue
		}
		seed += uint64(len(seeds))
		for name, b := range sides {
			r.Sides[name].Samples = append(r.Sides[name].Samples, b.Samples...)
			r.Sides[name].Links = append(r.Sides[name].Links, b.Links...)
		}
	}
	return r, nil
}

// round lets each contender take the samples of the seeds, beginning with one of them.
func (s *sampler) round(x cell, contenders []*contender, first int, seeds []uint64) (map[string]by, bool, error) {
	sides, disturbed := map[string]by{}, false
	for turn := range contenders {
		c := contenders[(turn+first)%len(contenders)]
		before, err := measureUsage(s.tcpd)
		if err != nil {
			return nil, false, err
		}
		dropped := c.dropped()
		samples, report, err := s.take(c, x, seeds)
		if err != nil {
			return nil, false, err
		}
		after, err := measureUsage(s.tcpd)
		if err != nil {
			return nil, false, err
		}
		l := linkState{
			report.Client, report.Server, report.Late.Percentile(99), report.Late.Max, c.dropped() - dropped + report.Failed,
			after.others(before),
		}
		sides[c.name] = by{samples, []linkState{l}}
		disturbed = disturbed || l.disturbed()
	}
	return sides, disturbed, nil
}

// warnings name what disturbed a cell.
func (r *result) warnings() (s string) {
	for name, b := range r.Sides {
		for _, l := range b.Links {
			if l.disturbed() {
				s += fmt.Sprintf("; %s: disturbed, 1%% of packets over %v late, others used %.1f CPUs", name, l.Late99, l.Others)
			}
			if l.DevicesDropped > 0 {
				s += fmt.Sprintf("; %s: %d packets dropped outside of the emulator", name, l.DevicesDropped)
			}
		}
		for _, x := range b.Samples {
			if x.Note != "" {
				s += fmt.Sprintf("; %s, seed %d: %s", name, x.Seed, x.Note)
			}
		}
	}
	return s
}

// cells are what the flags choose.
func (o options) cells() (cells []cell, err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	all := fullGrid()
	if o.quick {
		all = quickGrid()
	}
	for _, c := range all {
		if only.MatchString(c.String()) {
			cells = append(cells, c)
		}
	}
	if len(cells) == 0 {
		return nil, fmt.Errorf("-only %q matches none of the cells, such as %v", o.only, all[0])
	}
	return cells, nil
}

func (o options) write(f *file) error {
	if o.json != "" {
		if err := f.write(o.json); err != nil {
			return err
		}
	}
	if o.report == "" {
		_, err := fmt.Print(f.markdown())
		return err
	}
	return os.WriteFile(o.report, []byte(f.markdown()), 0o644)
}

// build makes tcpd's binary from the tree around this module.
func build(to string) error {
	bench, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "tcpd/bench").Output()
	if err != nil {
		return fmt.Errorf("cannot find tcpd's tree (run this in the directory bench, or give -tcpd): %w", err)
	}
	cmd := exec.Command("go", "build", "-o", to, "./cmd/tcpd")
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(bench)))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building tcpd: %w\n%s", err, out)
	}
	return nil
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}
