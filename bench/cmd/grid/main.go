// Command grid measures the goodput of one TCP connection over an emulated link, tcpd against Linux, for many round-trip
// times, loss rates and queues. It needs root for network namespaces of its own, which end with it.
//
//	go run ./cmd/grid -quick                                 under five minutes
//	go run ./cmd/grid -report ../docs/grid.md                everything, under forty
//	go run ./cmd/grid -only 'bbr/down/20ms/deep/loss1%' -captures /tmp   one cell, with the packets at both ends
package main

import (
	"cmp"
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

	"tcpd/bench/internal/machine"
)

type options struct {
	quick                  bool
	only, binary, captures string
	report, json           string
	congestions            []string
	settings               string
	mbit                   float64
	rounds, links          int
	patience, limit        time.Duration
	seed                   uint64
	v6                     bool
}

func main() {
	log.SetFlags(0)
	var o options
	flag.BoolVar(&o.quick, "quick", false, "the cells that show most")
	flag.StringVar(&o.only, "only", "", "cells whose name matches this regular expression")
	flag.StringVar(&o.binary, "tcpd", "", "tcpd's binary; empty: built from this tree")
	congestion := flag.String("congestion", "cubic,bbr", "congestion control of the senders, one or several")
	flag.StringVar(&o.settings, "settings", "", "further settings of tcpd's section tcp, such as 'send_buffer: 32MiB'")
	flag.StringVar(&o.report, "report", "", "Markdown file; empty: standard output")
	flag.StringVar(&o.json, "json", "", "file with all samples")
	flag.StringVar(&o.captures, "captures", "", "directory for pcap files of every round, 120 bytes a packet")
	flag.Float64Var(&o.mbit, "mbit", 100, "rate of the link, Mbit/s")
	flag.IntVar(&o.rounds, "rounds", 2, "rounds of samples in each cell")
	flag.IntVar(&o.links, "links", fullLinks, "how many links may be full at the same time; 1: each cell runs alone")
	flag.DurationVar(&o.patience, "patience", 0, "time for taking rounds again that others disturbed (8m, with -quick 45s)")
	flag.DurationVar(&o.limit, "limit", 0, "time after which no cell is begun (39m, with -quick 285s)")
	flag.Uint64Var(&o.seed, "seed", 1, "first seed")
	flag.BoolVar(&o.v6, "6", false, "over IPv6")
	flag.Parse()
	o.defaults()
	o.congestions = strings.Split(*congestion, ",")
	if o.captures != "" {
		o.links = 1 // a file holds the packets of one cell
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		log.Fatalf("grid: %v", err)
	}
}

// defaults fills in the times that depend on how much is to be measured.
func (o *options) defaults() {
	patience, limit := 8*time.Minute, 39*time.Minute
	if o.quick {
		patience, limit = 45*time.Second, 285*time.Second
	}
	o.patience, o.limit = cmp.Or(o.patience, patience), cmp.Or(o.limit, limit)
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
	linux, err := newLinux(client, &o)
	if err != nil {
		return err
	}
	defer linux.close()
	tcpd, err := newTcpd(client, dir, &o)
	if err != nil {
		return err
	}
	defer tcpd.close()
	f := &file{
		Taken: time.Now(), Machine: machine.Name(), Congestions: o.congestions, Mbit: o.mbit, Seed: o.seed, Links: o.links,
	}
	if f.Accuracy, err = measureAccuracy(client, linux, o.mbit*1e6); err != nil {
		return err
	}
	log.Printf("emulator: %v", f.Accuracy)
	s := &sampler{client: client, rate: o.mbit * 1e6, captures: o.captures, tcpd: tcpd.pid}
	ctx, cancel := context.WithTimeout(ctx, o.limit)
	defer cancel()
	if f.Results, err = s.measureAll(ctx, cells, []*contender{linux, tcpd}, &o); err != nil {
		return err
	}
	if len(f.Results) < len(cells) {
		log.Printf("time is up: %d of %d cells were measured", len(f.Results), len(cells))
	}
	return o.write(f)
}

// cells are what the flags choose.
func (o options) cells() (cells []cell, err error) {
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	grid, all := fullGrid, []cell(nil)
	if o.quick {
		grid = quickGrid
	}
	for _, name := range o.congestions {
		all = append(all, grid(name)...)
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
