package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"tcpd/config"
)

// status is the daemon on one screen.
type status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Ready   bool      `json:"ready"`
	Problem string    `json:"problem,omitempty"` // why it is not ready

	Device    deviceStatus    `json:"device"`
	Addresses []string        `json:"addresses"`
	Services  []serviceStatus `json:"services"`

	Connections int          `json:"connections"`
	HalfOpen    int          `json:"half_open"`
	TimeWait    int          `json:"time_wait"`
	Memory      memoryStatus `json:"memory"`
	Drops       []dropStatus `json:"drops"` // that happened, the most frequent first

	Reloads reloadCounts `json:"reloads"`
}

type deviceStatus struct {
	Name        string `json:"name"`
	Up          bool   `json:"up"`
	MTU         int    `json:"mtu"`
	Queues      int    `json:"queues"`
	Written     int    `json:"queues_written"` // by which packets leave at present
	Offload     bool   `json:"offload"`
	PacketsIn   uint64 `json:"packets_in"`
	BytesIn     uint64 `json:"bytes_in"`
	PacketsOut  uint64 `json:"packets_out"`
	BytesOut    uint64 `json:"bytes_out"`
	KernelDrops uint64 `json:"kernel_drops"`
}

type serviceStatus struct {
	Name     string `json:"name"`
	Listen   string `json:"listen"`
	Kind     string `json:"kind"`
	Active   int64  `json:"active"`
	Accepted uint64 `json:"accepted"`
	Refused  uint64 `json:"refused"`
	Error    string `json:"error,omitempty"` // why it is not served
}

type memoryStatus struct {
	Used  int64 `json:"used"`
	Peak  int64 `json:"peak"`
	Limit int64 `json:"limit"`
}

// status returns the present state.
func (d *daemon) status() status {
	c, st := d.config(), d.stack.Stats()
	s := status{
		Version: version(), PID: os.Getpid(), Started: d.started, Device: d.deviceStatus(), Services: d.serviceStatus(),
		Connections: st.Connections, HalfOpen: st.HalfOpen, TimeWait: st.TimeWait,
		Memory: memoryStatus{st.MemoryUsed, st.MemoryPeak, st.MemoryLimit},
		Drops:  frequent(drops(st, d.link.Stats())),
	}
	s.Ready = true
	if err := d.ready(); err != nil {
		s.Ready, s.Problem = false, err.Error()
	}
	for _, a := range c.Addresses {
		s.Addresses = append(s.Addresses, a.Addr().String())
	}
	d.mu.Lock()
	s.Reloads = d.reloaded
	d.mu.Unlock()
	return s
}

func (d *daemon) deviceStatus() deviceStatus {
	s := d.link.Stats()
	return deviceStatus{
		Name: d.link.Name(), Up: s.LinkUp, MTU: d.link.MTU(), Queues: d.link.Queues(), Written: d.stack.Spread(), Offload: s.GSO,
		PacketsIn: s.Read.Packets, BytesIn: s.Read.Bytes, PacketsOut: s.Written.Packets, BytesOut: s.Written.Bytes,
		KernelDrops: s.KernelDropped,
	}
}

func (d *daemon) serviceStatus() []serviceStatus {
	counts := map[string]serviceCounts{}
	for _, c := range d.services.counts() {
		counts[c.name] = c
	}
	list := []serviceStatus{}
	add := func(s config.Service, why string) {
		n := counts[s.Name].counts
		list = append(list, serviceStatus{s.Name, s.ListenText(), s.Kind, n.Active, n.Accepted, n.Refused, why})
	}
	for _, s := range d.services.serving() {
		add(s, "")
	}
	for _, s := range d.services.failures() {
		add(s.Service, s.err.Error())
	}
	return list
}

// print writes the status for people.
func (s status) print(w io.Writer) {
	state := "ready"
	if !s.Ready {
		state = "NOT READY: " + s.Problem
	}
	fmt.Fprintf(w, "tcpd %s, pid %d, up %v: %s\n", s.Version, s.PID, time.Since(s.Started).Round(time.Second), state)
	d := s.Device
	fmt.Fprintf(w, "device %s: %s, MTU %d, %s, offload %s\n", d.Name, onOff(d.Up, "up", "DOWN"), d.MTU,
		d.queues(), onOff(d.Offload, "on", "off"))
	fmt.Fprintf(w, "  in  %d packets, %s; dropped by the kernel before us: %d\n", d.PacketsIn, bytesText(int64(d.BytesIn)), d.KernelDrops)
	fmt.Fprintf(w, "  out %d packets, %s\n", d.PacketsOut, bytesText(int64(d.BytesOut)))
	fmt.Fprintf(w, "addresses %s\n", strings.Join(s.Addresses, ", "))
	fmt.Fprintf(w, "connections %d, half-open %d, TIME-WAIT %d\n", s.Connections, s.HalfOpen, s.TimeWait)
	fmt.Fprintf(w, "memory %s of %s, at most %s so far\n\n", bytesText(s.Memory.Used), bytesText(s.Memory.Limit), bytesText(s.Memory.Peak))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tLISTEN\tKIND\tACTIVE\tACCEPTED\tREFUSED")
	for _, v := range s.Services {
		if v.Error != "" {
			v.Kind += " FAILED"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%d\t%d\n", v.Name, v.Listen, v.Kind, v.Active, v.Accepted, v.Refused)
	}
	_ = t.Flush() // w is a terminal or a pipe, whose errors end us anyway
	s.printTroubles(w)
}

// queues tells how many there are, and how many of several are written.
func (d deviceStatus) queues() string {
	text := plural(d.Queues, "queue")
	if d.Queues > 1 {
		text += fmt.Sprintf(" (%d written)", d.Written)
	}
	return text
}

func (s status) printTroubles(w io.Writer) {
	for _, v := range s.Services {
		if v.Error != "" {
			fmt.Fprintf(w, "\nservice %s has failed, and its port is closed: %s\n  put that right, then: tcpd reload\n", v.Name, v.Error)
		}
	}
	if len(s.Drops) > 0 {
		fmt.Fprint(w, "\ndropped:")
		for _, v := range s.Drops[:min(len(s.Drops), 8)] {
			fmt.Fprintf(w, " %s/%s %d", v.Layer, v.Reason, v.Count)
		}
		fmt.Fprintln(w)
	}
	if r := s.Reloads; r.Error != "" {
		fmt.Fprintf(w, "\nthe last reload, at %s, failed:\n%s\n", r.Last.Format(time.DateTime), r.Error)
	}
}

func onOff(b bool, on, off string) string {
	if b {
		return on
	}
	return off
}

// bytesText writes a number of bytes with three digits at most.
func bytesText(n int64) string {
	f, unit := float64(n), 0
	for f >= 999.5 && unit < 5 {
		f, unit = f/1024, unit+1
	}
	name := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}[unit]
	if f < 9.95 && unit > 0 {
		return fmt.Sprintf("%.1f %s", f, name)
	}
	return fmt.Sprintf("%.0f %s", f, name)
}
