package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tcpd/stack"
)

const sendAbout = `Send the standard input over a TCP connection of tcpd's own. It succeeds when every byte has been
acknowledged and both sides have said FIN; the other side may be tcpd recv, the service sink, or
any program that closes once it has read everything.

Packets go inside UDP datagrams with --link, which needs no privilege, or through a TUN device
with --tun.`

const sendExamples = `  tcpd recv --listen 9000 --link udp:127.0.0.1:7001,127.0.0.1:7002 -o copy &
  tcpd send 10.77.0.2:9000 --link udp:127.0.0.1:7002,127.0.0.1:7001 --impair 'loss: 5%' --trace < FILE`

// fromAddresses are those that commands speak from if told nothing: not those of a tcpd that serves.
const fromAddresses = `10.77.0.3/24, "fd77::3/64"`

func newSendCommand() *cobra.Command {
	f := &hostFlags{addresses: fromAddresses}
	cmd := &cobra.Command{
		Use: "send HOST:PORT", Short: "Send the standard input over a connection of our own", Long: sendAbout,
		Example: sendExamples, Args: oneArg("ADDRESS:PORT to send to"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !f.own() {
				return errors.New("say how packets go: --link udp:LOCAL,REMOTE, or --tun NAME")
			}
			return failed(send(cmd.Context(), f, args[0], cmd.InOrStdin(), cmd.ErrOrStderr()))
		},
	}
	f.define(cmd)
	return cmd
}

// send sends everything that in holds.
func send(ctx context.Context, f *hostFlags, to string, in io.Reader, stderr io.Writer) error {
	h, err := f.open(stderr)
	if err != nil {
		return err
	}
	defer h.close()
	dialing, cancel := context.WithTimeout(ctx, f.timeout)
	conn, err := h.DialContext(dialing, "tcp", to)
	cancel()
	if err != nil {
		return err
	}
	s := &sending{host: h, conn: conn.(*stack.Conn)}
	p := watch(stderr, f.trace, s.count.Load)
	err = s.run(ctx, in)
	took := p.end()
	if err != nil {
		_ = s.conn.SetLinger(0) // what was cut must not look complete
		_ = s.conn.Close()
		return err
	}
	i := s.conn.Info()
	_ = s.conn.Close()
	h.linger(max(3*time.Duration(i.RTO), time.Second))
	fmt.Fprintf(stderr, "sent %d bytes in %v, %s, %d segments sent again; both sides closed\n",
		s.count.Load(), took.Round(time.Millisecond), rate(s.count.Load(), took), i.Retransmits)
	return nil
}

// sending is one transfer.
type sending struct {
	host  *host
	conn  *stack.Conn
	count atomic.Uint64
}

func (s *sending) run(ctx context.Context, in io.Reader) error {
	if err := s.copy(in); err != nil {
		return err
	}
	if err := s.conn.CloseWrite(); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, struct{ io.Reader }{s.conn}); err != nil {
		return fmt.Errorf("the peer did not close in order: %w", err)
	} else if n > 0 {
		return fmt.Errorf("the peer sent %d bytes where only its FIN was expected", n)
	}
	if err := s.host.waitClosed(ctx, s.conn); err != nil {
		return err
	}
	if acked := s.conn.Info().BytesAcked; acked != s.count.Load() {
		return fmt.Errorf("the peer has acknowledged %d of %d bytes", acked, s.count.Load())
	}
	return nil
}

// copy writes everything to the connection. What goes wrong on either side ends it.
func (s *sending) copy(in io.Reader) error {
	b := make([]byte, 256<<10)
	for {
		n, err := in.Read(b)
		if n > 0 {
			if _, err := s.conn.Write(b[:n]); err != nil {
				return err
			}
			s.count.Add(uint64(n))
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("reading what is to be sent: %w", err)
		}
	}
}
