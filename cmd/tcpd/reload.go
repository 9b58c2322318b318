package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.uber.org/zap"

	"tcpd/config"
)

// reloadCounts is what became of reloads.
type reloadCounts struct {
	Succeeded uint64    `json:"succeeded"`
	Failed    uint64    `json:"failed"`
	Last      time.Time `json:"last,omitzero"`
	Error     string    `json:"error,omitempty"` // of the last one, if it failed
}

// reloadResult tells what a reload changed.
type reloadResult struct {
	Changed  []string `json:"changed"`            // in words
	Restart  []string `json:"restart,omitempty"`  // keys that changed and wait for a restart
	Warnings []string `json:"warnings,omitempty"` // remarks about the file
}

var errStopping = errors.New("tcpd is stopping, the configuration is not read again")

// reload reads the configuration anew and puts services, limits, defaults of TCP and the log's level in force. Connections
// that run are not touched. If the configuration is broken, the old one stays.
func (d *daemon) reload() (reloadResult, error) {
	d.reloads.Lock()
	defer d.reloads.Unlock()
	if d.isStopping() {
		return reloadResult{}, errStopping
	}
	d.notify.reloading()
	result, err := d.tryReload()
	d.account(err)
	d.notify.ready(d.summary())
	d.tell(result, err)
	return result, err
}

func (d *daemon) tryReload() (reloadResult, error) {
	next, err := d.load()
	if err != nil {
		return reloadResult{}, err
	}
	running := d.config()
	result := reloadResult{Restart: running.RestartKeys(next)}
	for _, w := range next.Warnings {
		result.Warnings = append(result.Warnings, w.String())
	}
	next.KeepRestartKeys(running)
	if err := listensOnOwn(next); err != nil {
		return result, err
	}
	changes := config.Changes(running.Services, next.Services)
	if err := d.services.apply(next.Services); err != nil {
		return result, err
	}
	result.Changed = describe(running, next, changes)
	d.stack.SetOptions(tcpOptions(next.TCP))
	d.stack.SetLimits(stackLimits(next.Limits))
	d.stack.SetRecorder(next.Recorder)
	d.log.setLevel(next.Log.Level)
	if err := d.link.Set(impairment(next.Impair)); err != nil {
		return result, err
	}
	d.mu.Lock()
	d.cfg = next
	d.mu.Unlock()
	return result, nil
}

// listensOnOwn checks services against the addresses of the running daemon, which may not be those of the file.
func listensOnOwn(c *config.Config) error {
	for _, s := range c.Services {
		a := s.Listen.Addr()
		own := slices.ContainsFunc(c.Addresses, func(p netip.Prefix) bool { return p.Addr() == a })
		if a.IsValid() && !a.IsUnspecified() && !own {
			return fmt.Errorf("service %q listens on %s, which becomes an address of ours with a restart only", s.Name, a)
		}
	}
	return nil
}

// describe says in words what differs between two configurations.
func describe(before, after *config.Config, changes []config.ServiceChange) []string {
	list := []string{}
	for _, c := range changes {
		switch {
		case c.Before == nil:
			list = append(list, fmt.Sprintf("service %s on %s is new", c.After.Name, c.After.ListenText()))
		case c.After == nil:
			list = append(list, fmt.Sprintf("service %s on %s accepts no more", c.Before.Name, c.Before.ListenText()))
		default:
			list = append(list, fmt.Sprintf("service %s on %s has new settings", c.After.Name, c.After.ListenText()))
		}
	}
	if before.Limits != after.Limits {
		list = append(list, "limits")
	}
	if before.Impair != after.Impair {
		list = append(list, "impair")
	}
	if before.TCP != after.TCP {
		list = append(list, "defaults of tcp, for new connections")
	}
	if before.Recorder != after.Recorder {
		list = append(list, "recorder, for new connections")
	}
	if before.Log.Level != after.Log.Level {
		list = append(list, "log level "+after.Log.Level)
	}
	if before.Shutdown != after.Shutdown {
		list = append(list, "shutdown")
	}
	return list
}

// account notes how a reload ended.
func (d *daemon) account(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reloaded.Last = time.Now()
	d.reloaded.Error = ""
	if err != nil {
		d.reloaded.Failed++
		d.reloaded.Error = err.Error()
		return
	}
	d.reloaded.Succeeded++
}

// tell logs how a reload ended, every error of the file in a line of its own.
func (d *daemon) tell(result reloadResult, err error) {
	if problems := (config.Errors)(nil); errors.As(err, &problems) {
		for _, p := range problems {
			d.log.Error("reload: " + p.String())
		}
		err = errors.New("the new configuration is broken, the old one stays")
	}
	if err != nil {
		d.log.Error("reload failed", zap.Error(err))
		return
	}
	for _, w := range result.Warnings {
		d.log.Warn("reload: " + w)
	}
	if len(result.Restart) > 0 {
		d.log.Warn("reload: some keys need a restart", zap.Strings("keys", result.Restart))
	}
	d.log.Info("reloaded", zap.Strings("changed", result.Changed))
}
