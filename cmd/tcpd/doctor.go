package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"tcpd/config"
)

// verdict is what came of a check.
type verdict string

const (
	right   verdict = "ok"
	missing verdict = "missing"
	unknown verdict = "unknown" // could not be checked
)

// finding is the outcome of one check.
type finding struct {
	Check   string   `json:"check"`
	Verdict verdict  `json:"verdict"`
	Text    string   `json:"text"`
	Fix     []string `json:"fix,omitempty"` // commands, in their order
}

// diagnosis is what doctor found.
type diagnosis struct {
	Missing  int       `json:"missing"`
	Findings []finding `json:"findings"`
}

func (d *diagnosis) add(check string, v verdict, text string, fix ...string) {
	if v == missing {
		d.Missing++
	}
	d.Findings = append(d.Findings, finding{check, v, text, fix})
}

func newDoctorCommand() *cobra.Command {
	settings := &settings{}
	var output string
	var local bool
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check what tcpd needs of this machine", Args: cobra.NoArgs,
		Long: `Check what tcpd needs of this machine: the device, privileges, routes, and what it takes to
reach others than the host itself (forwarding, NAT). Nothing is changed; for everything that is
missing the commands that mend it are printed. Exit status 0 if nothing is missing, else 1.`,
		Example: `  tcpd doctor --local
  tcpd doctor --local --tun tcp0 -o json`,
	}
	settings.define(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	cmd.Flags().BoolVar(&local, "local", false, "only what is needed to talk with the host itself")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if output != "text" && output != "json" {
			return fmt.Errorf("-o %s: must be text or json", output)
		}
		c, err := settings.load()
		if err != nil {
			return failed(err)
		}
		d := examine(c, machine{c}, local)
		d.Findings = slices.Insert(d.Findings, 0, finding{Check: "config", Verdict: right, Text: "compared with " + settings.source()})
		if err := d.write(cmd.OutOrStdout(), output == "json"); err != nil {
			return failed(err)
		}
		if d.Missing > 0 {
			return failed(errors.New(plural(d.Missing, "thing") + " missing"))
		}
		return nil
	}
	return cmd
}

// write prints the diagnosis for people, or as JSON.
func (d *diagnosis) write(w io.Writer, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(d)
	}
	for _, f := range d.Findings {
		if _, err := fmt.Fprintf(w, "%-8s %s\n", f.Verdict, f.Text); err != nil {
			return err
		}
		for _, line := range f.Fix {
			fmt.Fprintf(w, "           %s\n", line)
		}
	}
	return nil
}

// examine makes all checks that the configuration calls for.
func examine(c *config.Config, s surroundings, local bool) *diagnosis {
	d := &diagnosis{}
	e := examiner{c, s, d}
	e.path()
	e.control()
	if c.Link.UDP.Used() {
		return d // which needs nothing of the machine
	}
	e.node()
	e.device()
	switch {
	case c.Tun.Mode == "tap":
		e.bridge()
	default:
		e.route()
		if !local {
			e.forwarding()
			e.nat()
		}
	}
	return d
}
