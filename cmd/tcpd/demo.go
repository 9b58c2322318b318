package main

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func newDemoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "demo", Short: "Show what TCP does, in memory and virtual time", Args: cobra.NoArgs,
		Long: "Show what TCP does, with two ends of tcpd's own in memory, in virtual time. It needs no device and no rights.",
		RunE: func(*cobra.Command, []string) error { return errors.New("say what to show: tcpd demo reassembly") },
	}
	cmd.AddCommand(newReassemblyCommand())
	return cmd
}

const reassemblyAbout = `Send one message in segments that arrive shuffled, and show what the receiver does with each:
what it delivers, what has to wait, what it acknowledges. Then the same arrivals once more,
without an acknowledgement in between: one at the end covers all.`

const reassemblyExamples = `  tcpd demo reassembly                                    # four segments, in an order drawn from seed 1
  tcpd demo reassembly --seed 7
  printf 'to be\n or\n not\n' | tcpd demo reassembly --segments -   # a line is a segment`

func newReassemblyCommand() *cobra.Command {
	var seed uint64
	var file string
	cmd := &cobra.Command{
		Use: "reassembly", Short: "Segments arrive shuffled and are delivered in order", Args: cobra.NoArgs,
		Long: reassemblyAbout, Example: reassemblyExamples,
		RunE: func(cmd *cobra.Command, _ []string) error {
			segments, err := readSegments(file, cmd.InOrStdin())
			if err == nil {
				err = showReassembly(cmd.OutOrStdout(), segments, seed)
			}
			return failed(err)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "`N` that decides the order of arrival")
	cmd.Flags().StringVar(&file, "segments", "", "`FILE` with a segment in each line, - for the standard input; by default four of our own")
	return cmd
}

// What fits into one segment and into the first window (RFC 6928: ten segments), for nothing is acknowledged before all has
// been sent.
const (
	maxDemoSegment = 1400
	maxDemoMessage = 10 * maxDemoSegment
)

var demoSegments = []string{"Segments may ", "arrive in any order; ", "what is read is ", "what was written."}

// readSegments returns the lines of a file.
func readSegments(file string, stdin io.Reader) ([]string, error) {
	if file == "" {
		return demoSegments, nil
	}
	src := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		src = f
	}
	text, err := io.ReadAll(io.LimitReader(src, 1<<20))
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return lines, checkSegments(file, lines)
}

func checkSegments(file string, lines []string) error {
	total := 0
	for i, line := range lines {
		total += len(line)
		switch n := len(line); {
		case n == 0:
			return fmt.Errorf("%s: line %d is empty, and a segment without data cannot be out of order: remove it", file, i+1)
		case n > maxDemoSegment:
			return fmt.Errorf("%s: line %d has %d bytes, one segment takes at most %d here: cut it in two", file, i+1, n, maxDemoSegment)
		case total > maxDemoMessage:
			return fmt.Errorf("%s: from line %d on there are more than %d bytes, which may not be sent before the first acknowledgement: shorten it", file, i+1, maxDemoMessage)
		}
	}
	return nil
}

// showReassembly runs the exchange twice, answering each arrival and answering all of them at once.
func showReassembly(w io.Writer, segments []string, seed uint64) error {
	order := rand.New(rand.NewPCG(seed, 0)).Perm(len(segments))
	fmt.Fprintf(w, "%s of one message arrive in an order drawn from seed %d. Numbers are relative, time is virtual.\n",
		plural(len(segments), "segment"), seed)
	d := newDuo(w)
	fmt.Fprintf(w, "\nHandshake\n")
	if err := d.handshake(); err != nil {
		return err
	}
	sent, err := d.send(segments)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nArrivals, 1 ms apart, each answered\n")
	delivered, err := d.arrive(sent, order, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe sender, when these answers have come: %s\n", d.settle())

	quiet := newDuo(io.Discard)
	if err := quiet.handshake(); err != nil {
		return err
	}
	if sent, err = quiet.send(segments); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nThe same arrivals with no acknowledgement in between\n")
	quiet.w = w
	again, err := quiet.arrive(sent, order, false)
	if err != nil {
		return err
	}

	unsorted := ""
	for _, i := range order {
		unsorted += segments[i]
	}
	fmt.Fprintf(w, "\nThe message\n  as it arrived   %q\n  as delivered    %q\n", unsorted, delivered)
	if whole := strings.Join(segments, ""); delivered != whole || again != whole {
		return fmt.Errorf("what was delivered, %q and %q, is not what was sent: %q", delivered, again, whole)
	}
	return nil
}
