package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"tcpd/config"
	"tcpd/ether"
	"tcpd/tun"
)

// openLink opens what carries the packets: the device, or a link to another tcpd.
func openLink(c *config.Config, logf func(string, ...any)) (tun.Carrier, error) {
	if u := c.Link.UDP; u.Used() {
		return tun.OpenUDP(tun.UDPConfig{Local: u.Listen, Peer: u.Peer, AnyPeer: u.AnyPeer, MTU: u.MTU, Logf: logf})
	}
	if t := c.Tun; t.Mode == "tap" {
		return tun.OpenTAP(tun.TAPConfig{
			Name: t.Name, Create: t.Create, MTU: t.MTU, Bridge: t.Bridge, Host: t.Host, MAC: ether.MAC(t.MAC),
			Addresses: c.Addresses, Gateways: t.Gateway, Logf: logf,
		})
	}
	return tun.Open(tunConfig(c.Tun, logf))
}

func tunConfig(c config.Tun, logf func(string, ...any)) tun.Config {
	return tun.Config{
		Name: c.Name, Create: c.Create, Queues: c.Queues, Processors: processors, MTU: c.MTU, Host: c.Host, Offload: offloads[c.Offload], Logf: logf,
	}
}

var offloads = map[string]tun.Offload{"auto": tun.OffloadAuto, "on": tun.OffloadOn, "off": tun.OffloadOff}

func impairment(c config.Impair) tun.Impairment {
	return tun.Impairment{
		Loss: float64(c.Loss) / 100, Duplicate: float64(c.Duplicate) / 100, Reorder: float64(c.Reorder) / 100,
		Corrupt: float64(c.Corrupt) / 100, Delay: c.Delay, Jitter: c.Jitter, Rate: float64(c.Rate), Queue: int(c.Queue),
		Seed: uint64(c.Seed), Prefix: c.Prefix, Port: uint16(c.Port),
	}
}

// impairStatus is how bad the link is made, and what came of it.
type impairStatus struct {
	Impair string            `json:"impair"` // as in the configuration
	In     map[string]uint64 `json:"in"`     // packets by fate, while the link was impaired
	Out    map[string]uint64 `json:"out"`
}

func (d *daemon) impairStatus() impairStatus {
	s := impairStatus{Impair: d.config().Impair.String(), In: map[string]uint64{}, Out: map[string]uint64{}}
	for dir, to := range map[tun.Direction]map[string]uint64{tun.In: s.In, tun.Out: s.Out} {
		for f, n := range d.link.Fates(dir) {
			to[tun.Fate(f).String()] = n
		}
	}
	return s
}

// setImpair makes the link as bad as a text in the form of the configuration says, until the next reload or restart.
func (d *daemon) setImpair(text []byte) error {
	i, err := config.ParseImpair("impair", text)
	if err != nil {
		return err
	}
	d.reloads.Lock()
	defer d.reloads.Unlock()
	if err := d.link.Set(impairment(i)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	changed := *d.cfg
	changed.Impair = i
	d.cfg = &changed
	d.log.Info(impairedText(i.String()))
	return nil
}

func (d *daemon) serveImpair(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		text, err := io.ReadAll(r.Body)
		if err == nil {
			err = d.setImpair(text)
		}
		if err != nil {
			answer(w, http.StatusUnprocessableEntity, controlError{Error: err.Error()})
			return
		}
	}
	answer(w, http.StatusOK, d.impairStatus())
}

// impairFlags stand for the keys of impair.
var impairFlags = []struct{ name, usage string }{
	{"loss", "lose `PERCENT` of the packets, such as 1%"},
	{"duplicate", "let `PERCENT` arrive twice"},
	{"reorder", "let `PERCENT` be overtaken"},
	{"corrupt", "flip a bit of `PERCENT`"},
	{"delay", "delay every packet by `TIME`"},
	{"jitter", "vary the delay by `TIME`, up and down"},
	{"rate", "let `RATE` pass, such as 100mbit"},
	{"queue", "let `SIZE` wait for the rate"},
	{"seed", "`N` decides all chances"},
	{"prefix", "only packets from or to `ADDRESSES`, such as 10.77.0.0/24"},
	{"port", "only packets from or to the TCP port `N`"},
}

func newImpairCommand() *cobra.Command {
	var where socketFlags
	cmd := &cobra.Command{
		Use: "impair [off]", Short: "Make the running daemon's link worse than it is",
		Long: `Make the running daemon's link worse than it is, in both directions, until the next reload:
what is not named is not impaired. Without flags it shows how things are; off ends it.`,
		Example: `  tcpd impair --loss 1% --delay 20ms --jitter 5ms
  tcpd impair --rate 10mbit --port 80
  tcpd impair
  tcpd impair off`,
		Args: cobra.MatchAll(cobra.MaximumNArgs(1), cobra.OnlyValidArgs), ValidArgs: []string{"off"},
	}
	where.define(cmd)
	for _, f := range impairFlags {
		cmd.Flags().String(f.name, "", f.usage)
	}
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		text := impairText(cmd)
		if len(args) > 0 && text != "" {
			return fmt.Errorf("impair off takes no further settings, here are {%s}", text)
		}
		if _, err := config.ParseImpair("the command line", []byte("{"+text+"}")); err != nil {
			return err
		}
		c, err := where.client()
		if err != nil {
			return failed(err)
		}
		var s impairStatus
		if len(args) > 0 || text != "" {
			err = c.send(http.MethodPut, "/v1/impair", strings.NewReader("{"+text+"}"), &s)
		} else {
			err = c.call(http.MethodGet, "/v1/impair", &s)
		}
		if err != nil {
			return failed(err)
		}
		s.print(cmd.OutOrStdout())
		return nil
	}
	return cmd
}

// impairText returns the flags that are set as the configuration has them.
func impairText(cmd *cobra.Command) string {
	var parts []string
	for _, f := range impairFlags {
		if v := cmd.Flags().Lookup(f.name); v.Changed {
			parts = append(parts, fmt.Sprintf("%s: %q", f.name, v.Value))
		}
	}
	return strings.Join(parts, ", ")
}

// impairedText says in words what settings, in the form of the configuration, mean.
func impairedText(settings string) string {
	if settings == (config.Impair{}).String() {
		return "the link is not impaired"
	}
	return "the link is impaired: " + settings
}

func (s impairStatus) print(w io.Writer) {
	fmt.Fprintln(w, impairedText(s.Impair))
	for _, side := range []struct {
		name string
		n    map[string]uint64
	}{{"in", s.In}, {"out", s.Out}} {
		fmt.Fprintf(w, "%-4s", side.name)
		for f := range tun.NumFates {
			fmt.Fprintf(w, " %s %d", f, side.n[f.String()])
		}
		fmt.Fprintln(w)
	}
}
