package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tcpd/internal/whole"
	"tcpd/stack"
)

const recvAbout = `Receive one stream over a TCP of tcpd's own, to the standard output or a file. It succeeds when
the peer's FIN has come behind the last byte and ours is acknowledged.

With -o the file appears only when it is whole. Without, a standard output that is a file is cut
back to what it was if the stream ends in any other way.

Packets come inside UDP datagrams with --link, which needs no privilege, or through a TUN device
with --tun.`

const recvExamples = `  tcpd recv --listen 9000 --link udp:0.0.0.0:7001 --link-any > copy &
  tcpd send 10.77.0.2:9000 --link udp:127.0.0.1:7002,127.0.0.1:7001 < FILE`

func newRecvCommand() *cobra.Command {
	f := &hostFlags{addresses: `10.77.0.2/24, "fd77::2/64"`}
	r := &receiving{}
	var port int
	cmd := &cobra.Command{
		Use: "recv --listen PORT", Short: "Receive a stream over a connection of our own", Long: recvAbout,
		Example: recvExamples, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case !f.own():
				return errors.New("say how packets come: --link udp:LOCAL,REMOTE, or --tun NAME")
			case port < 1 || port > 65535:
				return fmt.Errorf("%d is not a port: give --listen a number from 1 to 65535", port)
			}
			r.stdout = cmd.OutOrStdout()
			return failed(r.run(cmd.Context(), f, port, cmd.ErrOrStderr()))
		},
	}
	cmd.Flags().IntVar(&port, "listen", 0, "`PORT` to receive on")
	cmd.Flags().StringVarP(&r.file, "output", "o", "", "write to `FILE`")
	f.define(cmd)
	return cmd
}

// receiving is one transfer.
type receiving struct {
	file   string
	stdout io.Writer
	count  atomic.Uint64
}

func (r *receiving) run(ctx context.Context, f *hostFlags, port int, stderr io.Writer) error {
	out, err := r.open()
	if err != nil {
		return err
	}
	defer out.discard()
	h, err := f.open(stderr)
	if err != nil {
		return err
	}
	defer h.close()
	l, err := h.Listen("tcp", net.JoinHostPort("", strconv.Itoa(port)))
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "listening on port %d through %s\n", port, h.link.Name())
	accepted, err := l.Accept()
	_ = l.Close()
	if err != nil {
		return err
	}
	conn := accepted.(*stack.Conn)
	p := watch(stderr, f.trace, r.count.Load)
	err = r.receive(ctx, h, conn, out)
	took := p.end()
	if err != nil {
		_ = conn.SetLinger(0)
		_ = conn.Close()
		return err
	}
	_ = conn.Close()
	fmt.Fprintf(stderr, "received %d bytes in %v, %s, %d segments came again; both sides closed\n",
		r.count.Load(), took.Round(time.Millisecond), rate(r.count.Load(), took), h.duplicates())
	return nil
}

// receive keeps the stream, and says FIN once it is kept.
func (r *receiving) receive(ctx context.Context, h *host, conn *stack.Conn, out destination) error {
	b := make([]byte, 256<<10)
	for {
		n, err := conn.Read(b)
		if n > 0 {
			if _, err := out.Write(b[:n]); err != nil {
				return fmt.Errorf("writing what has come: %w", err)
			}
			r.count.Add(uint64(n))
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	if err := out.commit(); err != nil {
		return err
	}
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	return h.waitClosed(ctx, conn)
}

// duplicates returns how many segments brought nothing new.
func (h *host) duplicates() (n uint64) {
	for _, c := range h.Stats().TCP {
		n += c.DuplicatesIn
	}
	return n
}

// destination is where a stream goes: whole, or not at all.
type destination interface {
	io.Writer
	commit() error
	discard()
}

func (r *receiving) open() (destination, error) {
	if r.file != "" {
		f, err := whole.Create(r.file, 0o644)
		if err != nil {
			return nil, err
		}
		return wholeFile{f}, nil
	}
	s := &openStream{Writer: r.stdout}
	if f, ok := r.stdout.(*os.File); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			s.file, s.before = f, info.Size()
		}
	}
	return s, nil
}

type wholeFile struct{ *whole.File }

func (w wholeFile) commit() error { return w.Commit() }
func (w wholeFile) discard()      { w.Discard() }

// openStream is the standard output.
type openStream struct {
	io.Writer
	file   *os.File // if it is a regular file
	before int64    // its size at the begin
	done   bool
}

func (s *openStream) commit() error {
	s.done = true
	if s.file != nil {
		return s.file.Sync()
	}
	return nil
}

func (s *openStream) discard() {
	if !s.done && s.file != nil {
		_ = s.file.Truncate(s.before)
	}
}
