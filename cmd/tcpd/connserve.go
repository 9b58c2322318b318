package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"time"

	"tcpd/config"
	"tcpd/stack"
	"tcpd/tcp"
)

// connDetail is everything about one connection.
type connDetail struct {
	connView
	Now        time.Time     `json:"now"`
	UserLimits detailOptions `json:"settings"`
	Ranges     [][2]uint32   `json:"ranges,omitempty"` // received beyond a hole; numbers are relative to the peer's SYN

	Recorder string        `json:"recorder"`            // on, or why there is nothing
	Path     []stepView    `json:"path,omitempty"`      // through the states of RFC 9293
	Late     bool          `json:"path_late,omitempty"` // what was before the path is not known
	Segments []segmentView `json:"segments,omitempty"`  // the last ones, oldest first
	Recorded uint32        `json:"recorded,omitempty"`  // how many there were in all
}

// detailOptions are the settings of the connection.
type detailOptions struct {
	NoDelay     bool    `json:"nodelay"`
	KeepAlive   bool    `json:"keepalive"`
	KeepIdle    float64 `json:"keepalive_idle,omitempty"` // ms
	UserTimeout float64 `json:"user_timeout"`             // ms
	MaxReceive  int     `json:"max_receive_buffer"`
	MaxSend     int     `json:"max_send_buffer"`
}

type stepView struct {
	State string   `json:"state"`        // as RFC 9293 spells it
	At    *float64 `json:"at,omitempty"` // ms since the connection's record was made; absent: not known
}

// segmentView is a recorded segment. Numbers are relative: SYN has number 0.
type segmentView struct {
	At     float64  `json:"at"` // ms since the connection's record was made
	Sent   bool     `json:"sent"`
	Flags  string   `json:"flags"`
	Seq    uint32   `json:"seq"`
	Len    int      `json:"len"`
	Ack    uint32   `json:"ack"`
	Window int      `json:"win"`
	SACK   []uint32 `json:"sack,omitempty"`
	Again  bool     `json:"again,omitempty"`   // it was sent before
	Drop   string   `json:"dropped,omitempty"` // why it was not taken, or not in full
}

// serveConns writes the list as a JSON array, an element in each line, while it is made: 100,000 connections need no memory.
func (d *daemon) serveConns(w http.ResponseWriter, r *http.Request) {
	defer crash(d.log, os.Exit)
	f, err := parseFilter(r.URL.Query().Get("filter"))
	if err != nil {
		answer(w, http.StatusBadRequest, controlError{Error: err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	serving := d.services.serving()
	separator := "[\n"
	for i := range d.stack.Conns() {
		local, peer := ends(&i.Flow)
		if !f.takes(i.State, local, peer) {
			continue
		}
		v := viewConn(&i)
		v.Service = serviceOf(serving, local, i.Active)
		line, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(w, "%s%s", separator, line)
		}
		if err != nil {
			return // the client has gone
		}
		separator = ",\n"
	}
	if separator == "[\n" {
		fmt.Fprint(w, "[")
	}
	fmt.Fprint(w, "\n]\n")
}

// serviceOf returns the name of the service that accepts at an address of ours: the most exact one.
func serviceOf(list []config.Service, local netip.AddrPort, active bool) string {
	name, best := "", 0
	for _, s := range list {
		a, exact := s.Listen.Addr(), 0
		switch {
		case active || s.Listen.Port() != local.Port():
		case a == local.Addr():
			exact = 3
		case a.IsValid() && a.IsUnspecified() && a.Is4() == local.Addr().Is4():
			exact = 2
		case !a.IsValid():
			exact = 1
		}
		if exact > best {
			name, best = s.Name, exact
		}
	}
	return name
}

// serveConn writes everything about one connection.
func (d *daemon) serveConn(w http.ResponseWriter, r *http.Request) {
	defer crash(d.log, os.Exit)
	id, err := stack.ParseConnID(r.PathValue("id"))
	if err != nil {
		answer(w, http.StatusBadRequest, controlError{Error: err.Error()})
		return
	}
	c, ok := d.stack.Conn(id)
	if !ok {
		answer(w, http.StatusNotFound, controlError{Error: fmt.Sprintf("there is no connection %v, or no longer: tcpd conns lists those that are there", id)})
		return
	}
	answer(w, http.StatusOK, d.detail(&c))
}

func (d *daemon) detail(c *stack.ConnDetail) connDetail {
	v := connDetail{connView: viewConn(&c.ConnInfo), Now: time.Now(), Recorder: "on", Late: c.Record.Late, Recorded: c.Record.Total}
	local, _ := ends(&c.Flow)
	v.Service = serviceOf(d.services.serving(), local, c.Active)
	o := c.Options
	v.UserLimits = detailOptions{
		NoDelay: o.NoDelay, KeepAlive: o.KeepAlive.Enabled, UserTimeout: milliseconds(o.UserTimeout), MaxReceive: o.ReceiveBuffer, MaxSend: o.SendBuffer,
	}
	if o.KeepAlive.Enabled {
		v.UserLimits.KeepIdle = milliseconds(o.KeepAlive.Idle)
	}
	for _, x := range c.OutOfOrder {
		v.Ranges = append(v.Ranges, [2]uint32{uint32(x.Start), uint32(x.End)})
	}
	switch {
	case c.Recorded:
	case !d.config().Recorder:
		v.Recorder = "the recorder is off in the configuration"
	default:
		v.Recorder = "nothing came or left since it was established, or memory allows no more recorders"
	}
	for _, s := range c.Record.Path {
		step := stepView{State: s.State.String()}
		if s.At != 0 {
			at := milliseconds(s.At.Sub(c.Born))
			step.At = &at
		}
		v.Path = append(v.Path, step)
	}
	for i := range c.Record.Segments {
		v.Segments = append(v.Segments, viewSegment(&c.Record.Segments[i], c.Born))
	}
	return v
}

func viewSegment(s *tcp.RecordedSegment, born tcp.Time) segmentView {
	v := segmentView{
		At: max(milliseconds(s.At.Sub(born)), 0), Sent: s.Sent, Flags: flagWords(s.Flags), Seq: s.Seq, Len: s.Len, Ack: s.Ack, Window: s.Window, Again: s.Again,
	}
	if s.SACK != nil {
		v.SACK = []uint32{uint32(s.SACK.Start), uint32(s.SACK.End)}
	}
	if s.Drop != tcp.DropNone {
		v.Drop = s.Drop.String()
	}
	return v
}
