package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"tcpd/bench/internal/link"
	"tcpd/bench/internal/machine"
)

// fullLinks is how many links may be full at the same time on two processors: the emulator takes most of one for them.
const fullLinks = 6

// measureAll takes the samples of all cells, batch by batch, until ctx ends.
func (s *sampler) measureAll(ctx context.Context, cells []cell, contenders []*contender, o *options) (all []*result, err error) {
	for _, batch := range batches(cells, o.links) {
		results, err := s.measure(ctx, batch, contenders, o)
		if err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			break
		}
		for _, r := range results {
			all = append(all, r)
			log.Printf("%3d/%d %-46s tcpd %6.2f linux %6.2f ratio %.2f%s", len(all), len(cells), r.Name,
				r.Sides["tcpd"].median(), r.Sides["linux"].median(), r.ratio(), r.warnings())
		}
	}
	return all, nil
}

// measure takes all samples of a batch. The contenders take turns, every second round the other way round. A round that others
// disturbed is taken again while there is patience.
func (s *sampler) measure(ctx context.Context, batch []cell, contenders []*contender, o *options) ([]*result, error) {
	results := make([]*result, len(batch))
	for i, x := range batch {
		results[i] = &result{Cell: x, Name: x.String(), Sides: map[string]*by{}}
		for _, c := range contenders {
			results[i].Sides[c.name] = &by{}
		}
	}
	seed := o.seed
	for n := 0; n < o.rounds && ctx.Err() == nil; n++ {
		start := time.Now()
		sides, disturbed, err := s.round(batch, contenders, n%2, seed)
		if err != nil {
			return nil, err
		}
		if disturbed && o.patience > 0 {
			o.patience -= time.Since(start)
			n--
			continue
		}
		seed += seedsPerRound
		for name, cells := range sides {
			for i, b := range cells {
				to := results[i].Sides[name]
				to.Samples, to.Links = append(to.Samples, b.Samples...), append(to.Links, b.Links...)
			}
		}
	}
	return results, nil
}

// seedsPerRound is at least what any cell takes of them.
const seedsPerRound = 8

// round lets each contender take the samples of a batch, beginning with one of them. What it returns has an entry per cell.
func (s *sampler) round(batch []cell, contenders []*contender, first int, seed uint64) (map[string][]by, bool, error) {
	sides, disturbed := map[string][]by{}, false
	for turn := range contenders {
		c := contenders[(turn+first)%len(contenders)]
		before, err := machine.Measure(s.tcpd)
		if err != nil {
			return nil, false, err
		}
		dropped := c.dropped()
		got, report, err := s.take(c, batch, seed)
		if err != nil {
			return nil, false, err
		}
		after, err := machine.Measure(s.tcpd)
		if err != nil {
			return nil, false, err
		}
		for _, t := range got {
			l := linkState{
				t.links[link.Client], t.links[link.Server], report.Late.Percentile(99), report.Late.Max,
				c.dropped() - dropped + report.Failed, after.Others(before, 0), after.Idle(before),
			}
			sides[c.name] = append(sides[c.name], by{t.samples, []linkState{l}})
			disturbed = disturbed || l.disturbed()
		}
	}
	return sides, disturbed, nil
}

// warnings name what disturbed a cell.
func (r *result) warnings() (s string) {
	for name, b := range r.Sides {
		for _, l := range b.Links {
			if l.disturbed() {
				s += fmt.Sprintf("; %s: disturbed, 1%% of packets over %v late, others used %.1f CPUs, %.1f idle",
					name, l.Late99, l.Others, l.Idle)
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
