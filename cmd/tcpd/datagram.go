package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tcpd/service/datagram"
)

const datagramAbout = `Send datagrams over a TCP connection, each as a frame: marker 0x72, two bytes of length (big
endian), payload of 0 to 65535 bytes. Without FILE each line of the standard input is a
datagram, without its newline; else each FILE is one, and - is the whole standard input.

What comes back is printed, a line for each datagram, until the other side ends the stream.`

const datagramExamples = `  printf 'one\ntwo\n' | tcpd datagram 10.77.0.2:114      # prints one, two: a service "datagram: {}" echoes
  tcpd datagram --hex 10.77.0.2:114 /etc/hostname       # a file as one datagram, the answer in hexadecimal`

func newDatagramCommand() *cobra.Command {
	var x datagramClient
	cmd := &cobra.Command{
		Use: "datagram HOST:PORT [FILE]...", Short: "Send lines or files as datagrams over TCP, print the answers",
		Long: datagramAbout, Example: datagramExamples, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			x.in, x.out = cmd.InOrStdin(), cmd.OutOrStdout()
			return failed(x.run(cmd.Context(), args[0], args[1:]))
		},
	}
	cmd.Flags().BoolVar(&x.hex, "hex", false, "print what comes back in hexadecimal")
	cmd.Flags().DurationVar(&x.timeout, "timeout", 10*time.Second, "give up after so much `TIME` in which nothing comes back, once everything is sent")
	return cmd
}

// datagramClient sends frames and prints those that come back.
type datagramClient struct {
	in      io.Reader
	out     io.Writer
	hex     bool
	timeout time.Duration
	ending  atomic.Bool // everything is sent, or that has failed
}

func (x *datagramClient) run(ctx context.Context, address string, files []string) error {
	dialer := net.Dialer{Timeout: x.timeout}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	sent := make(chan error, 1)
	go func() { sent <- x.sendAll(conn, files) }()
	err = x.print(conn)
	ending := x.ending.Load()
	_ = conn.Close() // before the wait: the sender may be in the middle of a write
	if !ending && err == nil {
		return errors.New("the other side ended the stream before everything was sent")
	}
	if ending {
		if failed := <-sent; failed != nil {
			return failed
		}
	}
	return err
}

// sendAll sends everything and FIN. If that fails the connection is closed, which ends print.
func (x *datagramClient) sendAll(conn net.Conn, files []string) error {
	err := x.send(conn, files)
	x.ending.Store(true)
	if err == nil {
		_ = conn.SetReadDeadline(time.Now().Add(x.timeout)) // which print moves on
		err = conn.(*net.TCPConn).CloseWrite()
	}
	if err != nil {
		_ = conn.Close()
	}
	return err
}

// send sends the files, or the lines of the input.
func (x *datagramClient) send(conn net.Conn, files []string) error {
	w := datagram.NewWriter(conn)
	if len(files) == 0 {
		lines := bufio.NewScanner(x.in)
		lines.Buffer(nil, datagram.MaxPayload+2)
		for lines.Scan() {
			if _, err := w.Write(lines.Bytes()); err != nil {
				return err
			}
		}
		if errors.Is(lines.Err(), bufio.ErrTooLong) {
			return datagram.ErrTooLong
		}
		return lines.Err()
	}
	for _, name := range files {
		b, err := x.read(name)
		if err == nil {
			_, err = w.Write(b)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// read reads a file, as far as it can be a datagram and a byte beyond.
func (x *datagramClient) read(name string) ([]byte, error) {
	src := x.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.Unwrap(err)
		}
		defer func() { _ = f.Close() }()
		src = f
	}
	return io.ReadAll(io.LimitReader(src, datagram.MaxPayload+1))
}

// print prints the frames that come until the end of the stream. Once everything is sent, silence is an end as well.
func (x *datagramClient) print(conn net.Conn) error {
	r := datagram.NewReader(conn)
	format := "%s\n"
	if x.hex {
		format = "%x\n"
	}
	for {
		b, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("%d datagrams came back, then for %v neither another one nor the end of the stream", r.Frames(), x.timeout)
		case err != nil:
			return err
		}
		if _, err := fmt.Fprintf(x.out, format, b); err != nil {
			return err
		}
		if x.ending.Load() {
			_ = conn.SetReadDeadline(time.Now().Add(x.timeout))
		}
	}
}
