package main

import (
	"fmt"
	"slices"
	"strings"
)

// median of what a row shows of a contender; 0: it was not measured.
func (s *session) median(r row, contender string) float64 {
	var v []float64
	for _, x := range s.samples[r.work][contender] {
		v = append(v, r.value(x))
	}
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

// markdown is the table: each contender's medians, and those of tcpd's contenders to gVisor's and the kernel's.
func (s *session) markdown() string {
	var names []string
	for _, c := range s.field.contenders {
		names = append(names, c.name)
	}
	head := append([]string{"work"}, names...)
	var ratios [][2]string
	for _, ours := range names {
		for _, other := range []string{"gvisor", "kernel"} {
			if strings.HasPrefix(ours, "tcpd") && slices.Contains(names, other) {
				ratios = append(ratios, [2]string{ours, other})
				head = append(head, ours+"/"+other)
			}
		}
	}
	lines := []string{line(head), line(slices.Repeat([]string{"---"}, len(head)))}
	for _, r := range rows {
		if s.samples[r.work] == nil {
			continue
		}
		cells := []string{r.title}
		for _, name := range names {
			cells = append(cells, number(s.median(r, name)))
		}
		for _, pair := range ratios {
			cells = append(cells, ratio(s.median(r, pair[0]), s.median(r, pair[1])))
		}
		lines = append(lines, line(cells))
	}
	return strings.Join(lines, "")
}

func line(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

func ratio(ours, other float64) string {
	if ours == 0 || other == 0 {
		return ""
	}
	return fmt.Sprintf("**%.2f**", ours/other)
}

// remarks say what to know about the numbers: what disturbed them, and what failed.
func (s *session) remarks() string {
	all, disturbed, failed := 0, 0, map[string]uint64{}
	var where []string
	for _, w := range allWorks {
		for _, c := range s.field.contenders {
			for _, x := range s.samples[w.name][c.name] {
				all++
				failed[w.name+" of "+c.name] += x.Failed
				if x.Others >= disturbedFrom {
					disturbed++
					if !slices.Contains(where, w.name) {
						where = append(where, w.name)
					}
				}
			}
		}
	}
	text := fmt.Sprintf("No other process used a quarter of a processor during any of the %d samples.\n", all)
	if disturbed > 0 {
		text = fmt.Sprintf("Warning: other processes used a quarter of a processor or more during %d of %d samples (%s).\n",
			disturbed, all, strings.Join(where, ", "))
	}
	for _, w := range allWorks {
		for _, c := range s.field.contenders {
			if n := failed[w.name+" of "+c.name]; n > 0 {
				text += fmt.Sprintf("Warning: %d operations failed: %s of %s.\n", n, w.name, c.name)
			}
		}
	}
	return text
}
