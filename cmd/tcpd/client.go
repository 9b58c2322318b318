package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	neturl "net/url"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tcpd/config"
)

// client speaks to a running daemon.
type client struct {
	socket string
	file   string // the configuration that says where the socket is; empty: something else does
}

// socketFlags are where to find the daemon.
type socketFlags struct{ socket, file string }

func (f *socketFlags) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.socket, "socket", "", "`PATH` of the daemon's control socket")
	cmd.Flags().StringVar(&f.file, "config", "", "the daemon's configuration `FILE`, which says where the socket is")
	cmd.MarkFlagsMutuallyExclusive("socket", "config")
}

// client returns a client of the daemon that the flags name.
func (f *socketFlags) client() (client, error) {
	switch {
	case f.socket != "":
		return client{socket: f.socket}, nil
	case f.file == "":
		return client{socket: defaultSocket}, nil
	}
	socket, err := config.ControlSocket(f.file)
	if err == nil && socket == "" {
		err = fmt.Errorf("%s sets no control.socket: there is no way to reach the daemon", f.file)
	}
	return client{socket, f.file}, err
}

// How long the daemon may take for an answer, and for one that is long.
const (
	patience     = 10 * time.Second
	longPatience = time.Minute
)

// call asks the daemon, and decodes its answer.
func (c client) call(method, path string, answer any) error { return c.send(method, path, nil, answer) }

// send is call with a body.
func (c client) send(method, path string, body io.Reader, answer any) error {
	return c.ask(context.Background(), method, path, body, patience, answer)
}

// ask is send that ends with ctx, or when patience does.
func (c client) ask(ctx context.Context, method, path string, body io.Reader, patience time.Duration, answer any) error {
	r, err := c.open(ctx, method, path, body, patience)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	text, err := io.ReadAll(io.LimitReader(r, 1<<20))
	if err != nil {
		return c.unreachable(err)
	}
	return json.Unmarshal(text, answer)
}

// open asks the daemon, and returns the body of its answer, to be read while it comes and to be closed.
func (c client) open(ctx context.Context, method, path string, body io.Reader, patience time.Duration) (io.ReadCloser, error) {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", c.socket)
	}
	h := http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: patience}
	request, err := http.NewRequestWithContext(ctx, method, "http://tcpd"+path, body)
	if err != nil {
		return nil, err
	}
	response, err := h.Do(request)
	if err != nil {
		return nil, c.unreachable(err)
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return nil, c.unreachable(err)
	}
	return nil, refused(response.Status, text)
}

func (c client) unreachable(err error) error {
	hint := "is it running, with this control.socket?"
	if errors.Is(err, fs.ErrPermission) {
		hint = "become root, or the user it runs as"
	}
	var call *net.OpError
	if errors.As(err, &call) {
		err = call.Err
	}
	var late net.Error
	if errors.As(err, &late) && late.Timeout() {
		err, hint = errors.New("it does not answer"), "is it stopped, or very busy?"
	}
	if errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ECONNREFUSED) {
		err = errors.New("no tcpd is there")
		if c.file != "" {
			hint = "is it running? If " + c.file + " names another control.socket than when it was started, give that one with --socket"
		}
	}
	return fmt.Errorf("cannot reach tcpd at %s: %w (%s)", c.socket, err, hint)
}

// refused turns an answer other than 200 into an error.
func refused(status string, body []byte) error {
	var e controlError
	if json.Unmarshal(body, &e) != nil || e.Error == "" {
		e.Error = status + ": " + strings.TrimSpace(string(body))
	}
	err := errors.New(e.Error)
	if e.Config {
		return failure{err, exitConfig}
	}
	return err
}

func newReloadCommand() *cobra.Command {
	var where socketFlags
	cmd := &cobra.Command{
		Use: "reload", Short: "Have the running daemon read its configuration again", Args: cobra.NoArgs,
		Example: `  tcpd reload --config tcpd.yaml`,
		Long: `Have the running daemon read its configuration again: services, limits, defaults of tcp and
the log's level. Connections go on. If the configuration is broken the daemon keeps the old
one, and the errors are shown here.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := where.client()
			if err != nil {
				return failed(err)
			}
			var result reloadResult
			path := "/v1/reload?config=" + neturl.QueryEscape(absolute(where.file))
			if err := c.call(http.MethodPost, path, &result); err != nil {
				return failed(err)
			}
			result.print(cmd.OutOrStdout())
			return nil
		},
	}
	where.define(cmd)
	return cmd
}

func (r reloadResult) print(w io.Writer) {
	if len(r.Changed) == 0 {
		fmt.Fprintln(w, "reloaded: nothing changed")
	} else {
		fmt.Fprintln(w, "reloaded:")
	}
	for _, c := range r.Changed {
		fmt.Fprintf(w, "  %s\n", c)
	}
	if len(r.Restart) > 0 {
		fmt.Fprintf(w, "changed, but needs a restart: %s\n", strings.Join(r.Restart, ", "))
	}
	for _, s := range r.Warnings {
		fmt.Fprintf(w, "warning: %s\n", s)
	}
}

func newStatusCommand() *cobra.Command {
	var where socketFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show what the running daemon does", Args: cobra.NoArgs,
		Example: `  tcpd status
  tcpd status --json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := where.client()
			if err != nil {
				return failed(err)
			}
			var s status
			if err := c.call(http.MethodGet, "/v1/status", &s); err != nil {
				return failed(err)
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return failed(e.Encode(s))
			}
			s.print(cmd.OutOrStdout())
			return nil
		},
	}
	where.define(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON")
	return cmd
}
