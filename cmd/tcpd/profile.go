package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tcpd/internal/whole"
)

const profileAbout = `Write where the running daemon's processor time goes, as a profile for go tool pprof: it is
interrupted a hundred times a second of processor time, which is not felt. A profile is also
what the Go compiler learns from (go build -pgo FILE).`

func newProfileCommand() *cobra.Command {
	var where socketFlags
	var length time.Duration
	cmd := &cobra.Command{
		Use: "profile FILE", Short: "See what the running daemon spends its time on", Long: profileAbout, Args: oneArg("FILE: where the profile goes"),
		Example: `  tcpd profile --for 2s cpu.pprof && ls -l cpu.pprof   # then: go tool pprof -top cpu.pprof`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if length < time.Second || length > mostAnswer {
				return fmt.Errorf("--for %v: a profile takes 1s to %v", length, mostAnswer)
			}
			c, err := where.client()
			if err != nil {
				return failed(err)
			}
			return failed(c.profile(length, args[0]))
		},
	}
	where.define(cmd)
	cmd.Flags().DurationVar(&length, "for", 10*time.Second, "for how long, 1s to 50s")
	return cmd
}

// profile writes a profile of the daemon to a file, which is there only if it is whole.
func (c client) profile(length time.Duration, name string) error {
	f, err := whole.Create(name, 0o644)
	if err != nil {
		return err
	}
	defer f.Discard()
	body, err := c.open(context.Background(), http.MethodGet, fmt.Sprintf("/v1/profile?for=%d", length.Milliseconds()), nil, length+patience)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(body)
	if err != nil {
		return c.unreachable(err)
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	return f.Commit()
}

// serveProfile profiles this process for as many milliseconds as the request says. One at a time can.
func (d *daemon) serveProfile(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(r.FormValue("for"))
	length := time.Duration(ms) * time.Millisecond
	if err != nil || length <= 0 || length > mostAnswer {
		answer(w, http.StatusBadRequest, controlError{Error: fmt.Sprintf("for=%q: a profile takes up to %d milliseconds", r.FormValue("for"), mostAnswer.Milliseconds())})
		return
	}
	if err := pprof.StartCPUProfile(w); err != nil {
		answer(w, http.StatusConflict, controlError{Error: fmt.Sprintf("no profile is made: %v; wait for the other to end", err)})
		return
	}
	defer pprof.StopCPUProfile()
	select {
	case <-time.After(length):
	case <-r.Context().Done():
	}
}
