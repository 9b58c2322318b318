package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tcpd/internal/whole"
)

const getAbout = `Get a URL over a TCP of tcpd's own: through a running daemon, or standalone with --tun or --link. It
follows redirects and speaks TLS for https. A status of 400 and above is an error, and its body is
printed all the same.

From a device of its own (--tun tcp1 --addr 10.78.0.2/24) the host itself is reached at once; for
others the host has to forward: tcpd doctor says what is missing.`

const getExamples = `  tcpd get http://10.77.0.1:8080/                                  # through the running daemon
  sudo tcpd get -v --tun tcp1 --addr 10.78.0.2/24 http://10.78.0.1/ # standalone
  tcpd get -o FILE http://10.77.0.1/large`

// standaloneAddresses are what standalone clients speak from: not the network of a tcpd that serves on the same machine.
const standaloneAddresses = `10.78.0.2/24, "fd78::2/64"`

func newGetCommand() *cobra.Command {
	g := &getting{}
	g.addresses = standaloneAddresses
	cmd := &cobra.Command{
		Use: "get URL", Short: "Get a URL over a TCP of our own", Long: getAbout, Example: getExamples, Args: oneArg("a URL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			g.out, g.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return failed(g.run(cmd.Context(), args[0]))
		},
	}
	cmd.Flags().StringVarP(&g.file, "output", "o", "", "write to `FILE`, whole or not at all")
	cmd.Flags().BoolVarP(&g.verbose, "verbose", "v", false, "print connections, requests and answers, on the standard error")
	cmd.Flags().BoolVarP(&g.insecure, "insecure", "k", false, "do not check certificates")
	g.define(cmd)
	return cmd
}

func (f *vantageFlags) define(cmd *cobra.Command) {
	f.hostFlags.define(cmd)
	f.where.define(cmd)
}

// getting is one download.
type getting struct {
	vantageFlags
	file              string
	verbose, insecure bool
	out, err          io.Writer
}

func (g *getting) run(ctx context.Context, url string) error {
	v, err := g.vantage(g.err)
	if err != nil {
		return err
	}
	defer v.close()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "tcpd/"+version())
	transport := g.transport(v)
	response, err := (&http.Client{Transport: g.talkative(transport)}).Do(request)
	if err != nil {
		return err
	}
	err = g.store(response)
	transport.CloseIdleConnections()
	closing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v.settle(closing)
	if err == nil && response.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return err
}

// transport speaks HTTP/1.1, a connection for each request.
func (g *getting) transport(v vantage) *http.Transport {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, g.timeout)
		defer cancel()
		c, err := v.DialContext(ctx, network, address)
		if err == nil && g.verbose {
			fmt.Fprintf(g.err, "* connected to %s\n", address)
			for _, d := range v.describe(c) {
				fmt.Fprintf(g.err, "*   %s: %s\n", d[0], d[1])
			}
		}
		return c, err
	}
	return &http.Transport{
		DialContext: dial, DisableKeepAlives: true, ResponseHeaderTimeout: g.timeout, TLSHandshakeTimeout: g.timeout,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: g.insecure},
		TLSNextProto:    map[string]func(string, *tls.Conn) http.RoundTripper{}, // no HTTP/2
	}
}

// talkative prints what goes by, if that is asked for.
func (g *getting) talkative(t http.RoundTripper) http.RoundTripper {
	if !g.verbose {
		return t
	}
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		var connected atomic.Bool
		trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
		a, err := t.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		if connected.Load() {
			fmt.Fprintf(g.err, "> %s %s HTTP/1.1\n> Host: %s\n", r.Method, r.URL.RequestURI(), r.URL.Host)
			g.headers(">", r.Header)
		}
		if err == nil {
			if a.TLS != nil {
				fmt.Fprintf(g.err, "* %s, %s\n", tls.VersionName(a.TLS.Version), tls.CipherSuiteName(a.TLS.CipherSuite))
			}
			fmt.Fprintf(g.err, "< %s %s\n", a.Proto, a.Status)
			g.headers("<", a.Header)
		}
		return a, err
	})
}

func (g *getting) headers(mark string, h http.Header) {
	var keys []string
	for k := range h {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		for _, v := range h[k] {
			fmt.Fprintf(g.err, "%s %s: %s\n", mark, k, v)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// store writes the body to where it is to go.
func (g *getting) store(r *http.Response) error {
	defer r.Body.Close()
	if g.file == "" || r.StatusCode >= http.StatusBadRequest {
		_, err := io.Copy(g.out, r.Body)
		return brief(err)
	}
	f, err := whole.Create(g.file, 0o644)
	if err != nil {
		return err
	}
	defer f.Discard()
	if _, err := io.Copy(f, r.Body); err != nil {
		return brief(err)
	}
	return f.Commit()
}

// brief says what net/http means by an unexpected end.
func brief(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("the answer ended before its end")
	}
	return err
}
