package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	neturl "net/url"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

const connsAbout = `List the connections of the running daemon, as ss(8) does the kernel's. FILTER is that of ss:

  state NAME, exclude NAME     established, syn-sent, syn-recv, fin-wait-1, fin-wait-2, time-wait, closed,
                               close-wait, last-ack, closing, or all, connected, synchronized, bucket, big
  src ADDRESS[/LENGTH][:PORT]  our side          dst ADDRESS[/LENGTH][:PORT]  the other one
  sport OP :PORT               our port          dport OP :PORT               the other one
  and or not ( )               or & | !          OP is one of = != < <= > >=

Without a state it lists what is open. lim: says what keeps a connection from sending more: app (nothing
more was written), rwnd, cwnd, pacing, memory, sndbuf (who writes waits for room), idle.`

const connsExamples = `  tcpd conns
  tcpd conns state established sport = :80
  tcpd conns -o wide 'dst 10.77.0.0/24 and not sport = :7'
  tcpd conns -o jsonl state all`

var connFormats = []string{"table", "wide", "json", "jsonl"}

func newConnsCommand() *cobra.Command {
	var where socketFlags
	var format string
	var noHeader bool
	cmd := &cobra.Command{
		Use: "conns [FILTER]", Short: "List connections, as ss does", Long: connsAbout, Example: connsExamples,
		RunE: func(cmd *cobra.Command, args []string) error {
			filter := strings.Join(args, " ")
			if _, err := parseFilter(filter); err != nil {
				return err
			}
			if !slices.Contains(connFormats, format) {
				return fmt.Errorf("-o %s: the format is one of %s", format, strings.Join(connFormats, ", "))
			}
			c, err := where.client()
			if err != nil {
				return failed(err)
			}
			w := newConnWriter(cmd.OutOrStdout(), format, noHeader)
			if err := c.conns(filter, w.write); err != nil && w.written == 0 {
				return failed(err) // and no list that looks complete
			} else {
				return failed(errors.Join(err, w.end()))
			}
		},
	}
	where.define(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "table", "`FORMAT`: table, wide (everything in one line), json or jsonl (one object a line)")
	cmd.Flags().BoolVar(&noHeader, "no-header", false, "leave out the line with the names of the columns")
	return cmd
}

// conns hands each connection that the daemon lists to take, as it comes.
func (c client) conns(filter string, take func(*connView, json.RawMessage) error) error {
	body, err := c.open(context.Background(), http.MethodGet, "/v1/conns?filter="+neturl.QueryEscape(filter), nil, longPatience)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	d := json.NewDecoder(body)
	if _, err := d.Token(); err != nil {
		return c.unreachable(err)
	}
	for d.More() {
		var raw json.RawMessage
		var v connView
		if err := d.Decode(&raw); err != nil {
			return c.unreachable(err)
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		if err := take(&v, raw); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("the list ends in the middle: %w", c.unreachable(err))
	}
	return nil
}

// connWriter prints connections.
type connWriter struct {
	w       io.Writer
	table   *tabwriter.Writer
	format  string
	written int
	rows    int // in the table since its columns were laid out
}

func newConnWriter(w io.Writer, format string, noHeader bool) *connWriter {
	x := &connWriter{w: w, format: format, table: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	if header := map[string]string{
		"table": "ID\tSTATE\tRECV-Q\tSEND-Q\tLOCAL\tPEER\tSERVICE\tLIM\tRTT\tRETRANS", "wide": "ID\tSTATE\tRECV-Q\tSEND-Q\tLOCAL\tPEER\tSERVICE\tINFO",
	}[format]; header != "" && !noHeader {
		fmt.Fprintln(x.table, header)
	}
	return x
}

// maxRows is as many as wait for their columns to be laid out: a long list begins to appear at once.
const maxRows = 1000

func (x *connWriter) write(v *connView, raw json.RawMessage) error {
	x.written++
	switch x.format {
	case "jsonl":
		_, err := fmt.Fprintf(x.w, "%s\n", raw)
		return err
	case "json":
		_, err := fmt.Fprintf(x.w, "%s%s", []string{"[\n", ",\n"}[min(x.written-1, 1)], raw)
		return err
	}
	fmt.Fprintf(x.table, "%s\t%s\t%d\t%d\t%s\t%s\t%s\t", orDash(v.ID), v.State, v.RecvQ, v.SendQ, v.Local, v.Peer, orDash(v.Service))
	if x.format == "wide" {
		fmt.Fprintln(x.table, strings.TrimSpace(v.info()+" "+v.memory()))
	} else {
		fmt.Fprintf(x.table, "%s\t%s\t%d\n", orDash(v.Limit), rttText(v), v.Retrans)
	}
	if x.rows++; x.rows == maxRows {
		x.rows = 0
		return x.table.Flush()
	}
	return nil
}

func (x *connWriter) end() error {
	if x.format == "json" {
		if x.written == 0 {
			fmt.Fprint(x.w, "[")
		}
		_, err := fmt.Fprint(x.w, "\n]\n")
		return err
	}
	return x.table.Flush()
}

func rttText(v *connView) string {
	if v.RTT == 0 {
		return "-"
	}
	return spell(v.RTT)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
