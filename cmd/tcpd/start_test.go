package main

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"tcpd/tun"
)

// A signal to end cuts the opening of a link short: it may end in order for a moment. One to reload waits until it is over.
func TestStopWhileTheLinkOpens(t *testing.T) {
	for name, test := range map[string]struct {
		takes, want time.Duration
		signals     []os.Signal
		stopped     bool
	}{
		"nothing":        {5 * time.Second, 5 * time.Second, nil, false},
		"reload":         {5 * time.Second, 5 * time.Second, []os.Signal{syscall.SIGHUP}, false},
		"long":           {time.Hour, openPatience, []os.Signal{syscall.SIGTERM}, true},
		"ends in order":  {openPatience / 2, openPatience / 2, []os.Signal{syscall.SIGINT}, true},
		"reload and end": {time.Hour, openPatience, []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				signals := make(chan os.Signal, 4)
				for _, sig := range test.signals {
					signals <- sig
				}
				link, _ := tun.NewMemory(1500, 1, 16)
				began := time.Now()
				got, err := unlessStopped(signals, func() (tun.Carrier, error) {
					time.Sleep(test.takes)
					return link, nil
				})
				if took := time.Since(began); took != test.want || errors.Is(err, errStopped) != test.stopped || (got == nil) != test.stopped {
					t.Errorf("after %v: %v, %v; want after %v, stopped: %v", took, got, err, test.want, test.stopped)
				}
				if !test.stopped && len(signals) != len(test.signals) {
					t.Errorf("%d signals wait, want %d", len(signals), len(test.signals))
				}
				time.Sleep(test.takes) // for the goroutine
			})
		})
	}
}

// A daemon that is to end before it serves never says that it is ready.
func TestStopBeforeReady(t *testing.T) {
	s := newSetup(t, "services: []")
	s.d.notify = &notifier{} // to speak of readiness would panic
	signals := make(chan os.Signal, 4)
	signals <- syscall.SIGHUP
	signals <- syscall.SIGTERM
	if err := s.d.serve(signals, nil); err != nil {
		t.Error(err)
	}
	if stopRequested(signals) || len(signals) != 1 {
		t.Errorf("of the signal to reload %d are left, want it", len(signals))
	}
}
