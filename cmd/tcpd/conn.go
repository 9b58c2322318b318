package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	neturl "net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

const connAbout = `Show everything about one connection of the running daemon: its numbers, the path it took through the states
of RFC 9293, and its last segments as a ladder, oldest first. Times are since the connection was made; sequence
and acknowledgement numbers are relative, the SYN has 0. ID is what tcpd conns shows.`

const connExamples = `  tcpd conn 0.1
  tcpd conn 0.1 -o json
  tcpd conn 0.1 --svg ladder.svg                                              # a picture, to scale in time
  tcpd conns --no-header sport = :7 | while read id rest; do tcpd conn $id; done   # all that a filter chooses`

func newConnCommand() *cobra.Command {
	var where socketFlags
	var format, svg string
	cmd := &cobra.Command{
		Use: "conn ID", Short: "Show everything about one connection", Long: connAbout, Example: connExamples,
		Args: oneArg("the ID of a connection, as tcpd conns lists it"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "text" && format != "json" {
				return fmt.Errorf("-o %s: the format is text or json", format)
			}
			c, err := where.client()
			if err != nil {
				return failed(err)
			}
			return failed(showConn(cmd.OutOrStdout(), c, args[0], format, svg))
		},
	}
	where.define(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", "text", "`FORMAT`: text or json")
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture of the last segments to `FILE`, - for the standard output, instead of text")
	return cmd
}

func showConn(w io.Writer, c client, id, format, svg string) error {
	var raw json.RawMessage
	if err := c.call(http.MethodGet, "/v1/conns/"+neturl.PathEscape(id), &raw); err != nil {
		return err
	}
	var v connDetail
	if err := json.Unmarshal(raw, &v); err != nil {
		return err
	}
	switch {
	case svg != "":
		if len(v.Segments) == 0 {
			return fmt.Errorf("connection %s has no segments to draw: %s", id, v.Recorder)
		}
		picture := drawLadder(&v)
		if svg == "-" {
			_, err := io.WriteString(w, picture)
			return err
		}
		return os.WriteFile(svg, []byte(picture), 0o644)
	case format == "json":
		_, err := fmt.Fprintf(w, "%s\n", raw)
		return err
	}
	v.print(w)
	return nil
}

// print writes everything for people.
func (v *connDetail) print(w io.Writer) {
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-16s "+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintf(w, "%s  %s  %s - %s\n", v.ID, v.State, v.Local, v.Peer)
	fact("service", "%s", orDash(v.Service))
	opened := "the peer"
	if v.Active {
		opened = "us"
	}
	fact("age", "%s, opened by %s; data sent %s ago, received %s ago, acknowledged %s ago", spell(v.Age), opened,
		spell(v.LastSnd), spell(v.LastRcv), spell(v.LastAck))
	fact("options", "%s", orDash(strings.Join(v.Options, " ")))
	fact("segments", "mss %d, theirs %d, path MTU %d; in %d (data %d), out %d (data %d), retransmitted %d, time-outs %d",
		v.MSS, v.RcvMSS, v.PMTU, v.SegsIn, v.DataSegsIn, v.SegsOut, v.DataSegsOut, v.Retrans, v.Timeouts)
	fact("bytes", "received %d; sent %d, acknowledged %d, retransmitted %d", v.BytesReceived, v.BytesSent, v.BytesAcked, v.BytesRetrans)
	fact("round trip", "%s ± %s, at least %s; time-out %s", spell(v.RTT), spell(v.RTTVar), spell(v.MinRTT), spell(v.RTO))
	fact("congestion", "%s, window %d segments (%d bytes), threshold %s%s", v.Congestion, v.Cwnd, v.CwndBytes, thresholdText(v.Ssthresh), recoveryText(v.Recovery))
	fact("rates", "delivery %s%s, pacing %s", rateText(v.DeliveryRate), onOff(v.AppLimited, " (the application sent no more)", ""), rateText(v.PacingRate))
	fact("windows", "ours %d, theirs %d", v.RcvWnd, v.SndWnd)
	fact("send queue", "%d bytes: %d not acknowledged, %d not sent; sacked %d, lost %d; buffer %d", v.SendQ, v.Unacked, v.Unsent, v.Sacked, v.Lost, v.SendBuffer)
	fact("receive queue", "%d bytes not read, %d beyond a hole%s; buffer %d", v.RecvQ, v.OutOfOrder, rangeWords(v.Ranges), v.ReceiveBuffer)
	fact("limited by", "%s%s", v.Limit, limitedText(v.Limited))
	o := v.UserLimits
	fact("settings", "nodelay %s, keep-alive %s, user timeout %s, buffers up to %d and %d bytes", onOff(o.NoDelay, "on", "off"),
		onOff(o.KeepAlive, "after "+spell(o.KeepIdle), "off"), spell(o.UserTimeout), o.MaxReceive, o.MaxSend)
	if v.Error != "" {
		fact("error", "%s", v.Error)
	}
	fmt.Fprintf(w, "\nPath: %s\n", v.pathText())
	if len(v.Segments) == 0 {
		fmt.Fprintf(w, "\nNo segments: %s\n", v.Recorder)
		return
	}
	fmt.Fprintf(w, "\nThe last %d of %d segments:\n", len(v.Segments), v.Recorded)
	v.ladder(w)
}

func thresholdText(n int) string {
	if n == 0 {
		return "not set"
	}
	return fmt.Sprint(n)
}

func recoveryText(on bool) string { return onOff(on, ", in recovery", "") }

func rateText(n uint64) string {
	if n == 0 {
		return "none"
	}
	return bitRate(n)
}

func rangeWords(list [][2]uint32) string {
	s := ""
	for _, x := range list {
		s += fmt.Sprintf(" %d:%d", x[0], x[1])
	}
	return s
}

func limitedText(times map[string]float64) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(times)) {
		words = append(words, name+" "+spell(times[name]))
	}
	if len(words) == 0 {
		return ""
	}
	return "; so far: " + strings.Join(words, ", ")
}

// pathText writes the states in order, each with its time.
func (v *connDetail) pathText() string {
	if len(v.Path) == 0 {
		return "not recorded"
	}
	var words []string
	if v.Late {
		words = append(words, "...")
	}
	for _, s := range v.Path {
		word := s.State
		if s.At != nil {
			word += " (" + spell(*s.At) + ")"
		}
		words = append(words, word)
	}
	return strings.Join(words, " > ")
}

// ladder writes a segment in each line: what arrives with an arrow to the left, where we are.
func (v *connDetail) ladder(w io.Writer) {
	last := 0.0
	for i := range v.Segments {
		s := &v.Segments[i]
		gap := ""
		if i > 0 {
			gap = "+" + spell(s.At-last)
		}
		last = s.At
		arrow := "<----"
		if s.Sent {
			arrow = "---->"
		}
		fmt.Fprintf(w, "%16s %12s  %s  %s\n", stamp(s.At), gap, arrow, s.text())
	}
}

// text describes a segment in one line.
func (s *segmentView) text() string {
	t := fmt.Sprintf("%s seq %d", s.Flags, s.Seq)
	if s.Len > 0 {
		t += fmt.Sprintf(":%d (%d)", s.Seq+uint32(s.Len), s.Len)
	}
	if strings.Contains(s.Flags, "ACK") {
		t += fmt.Sprintf(" ack %d", s.Ack)
	}
	t += fmt.Sprintf(" win %d", s.Window)
	if len(s.SACK) == 2 {
		t += fmt.Sprintf(" sack %d:%d", s.SACK[0], s.SACK[1])
	}
	if s.Again {
		t += "  RETRANSMITTED"
	}
	if s.Drop != "" {
		t += "  DROPPED: " + s.Drop
	}
	return t
}
