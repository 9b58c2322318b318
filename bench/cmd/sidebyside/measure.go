package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"tcpd/bench/internal/machine"
)

// sample is one run of a load.
type sample struct {
	outcome
	Others float64 // processors that other processes used meanwhile
}

// disturbedFrom is how many processors others may use during a sample.
const disturbedFrom = 0.25

// session takes samples.
type session struct {
	field    *field
	wrk      string // path, "": the own client
	warm     time.Duration
	time     time.Duration
	patience time.Duration                  // left for samples to be taken again
	samples  map[string]map[string][]sample // by work and contender
}

// run takes all works round by round, so that the end of the time costs rounds and no work. The contenders take turns, each round
// beginning with another.
func (s *session) run(ctx context.Context, works []work, rounds int) error {
	for n := range rounds {
		for _, w := range works {
			for i := range s.field.contenders {
				if ctx.Err() != nil {
					log.Printf("time is up in round %d of %d", n+1, rounds)
					return nil
				}
				c := s.field.contenders[(i+n)%len(s.field.contenders)]
				got, err := s.take(c, w)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", w.name, c.name, err)
				}
				if s.samples[w.name] == nil {
					s.samples[w.name] = map[string][]sample{}
				}
				s.samples[w.name][c.name] = append(s.samples[w.name][c.name], got)
			}
		}
		log.Printf("round %d of %d", n+1, rounds)
	}
	return nil
}

// take takes a sample, again when others disturbed it and there is patience.
func (s *session) take(c *contender, w work) (sample, error) {
	for {
		start := time.Now()
		got, err := s.once(c, w)
		if err != nil || got.Others < disturbedFrom || s.patience <= 0 {
			return got, err
		}
		s.patience -= time.Since(start)
	}
}

// once runs the load of a work, beside the downloads that belong to it.
func (s *session) once(c *contender, w work) (got sample, err error) {
	before, err := machine.Measure(c.process.Process.Pid)
	if err != nil {
		return got, err
	}
	var ended time.Duration
	stop := func() {}
	if w.beside > 0 {
		if stop, err = s.background(c, w.beside, &ended); err != nil {
			return got, err
		}
	}
	l := load{mode: w.mode, to: c.server, flows: w.flows, sources: c.sources, warm: s.warm, time: s.time}
	got.outcome, err = s.client(&l, &ended)
	stop()
	if err != nil {
		return got, err
	}
	after, err := machine.Measure(c.process.Process.Pid)
	got.Others = after.Others(before, ended)
	return got, err
}

// background runs downloads until they are stopped.
func (s *session) background(c *contender, flows int, ended *time.Duration) (stop func(), err error) {
	l := load{mode: "down", to: c.server, flows: flows, time: time.Hour}
	cmd, err := l.command()
	if err != nil {
		return nil, err
	}
	if err := s.field.client.Start(cmd); err != nil {
		return nil, err
	}
	time.Sleep(s.warm)
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
		*ended += used(cmd)
	}, nil
}

// client runs a load to its end.
func (s *session) client(l *load, ended *time.Duration) (o outcome, err error) {
	cmd, err := l.command()
	isWrk := s.wrk != "" && (l.mode == "http" || l.mode == "http-close")
	if isWrk {
		cmd = exec.Command(s.wrk, l.wrkArguments()...)
	}
	if err != nil {
		return o, err
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := s.field.client.Start(cmd); err != nil {
		return o, err
	}
	err = cmd.Wait()
	*ended += used(cmd)
	switch {
	case err != nil:
		return o, fmt.Errorf("the client: %w", err)
	case isWrk:
		return readWrk(out.String())
	}
	return o, json.Unmarshal(out.Bytes(), &o)
}

// command runs this program again as a client.
func (l *load) command() (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"load", "-mode", l.mode, "-to", l.to.String(), "-flows", fmt.Sprint(l.flows),
		"-warm", l.warm.String(), "-time", l.time.String()}
	for _, a := range l.sources {
		args = append(args, "-source", a.String())
	}
	return exec.Command(self, args...), nil
}

// used is the processor time of a process that has ended.
func used(cmd *exec.Cmd) time.Duration {
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
}
