package e2e

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/ip"
	"tcpd/tcp"
)

// rawLink is a packet socket on the daemon's device: what is sent here the daemon reads as if the kernel had routed it, and
// what the daemon sends is seen here. The kernel's TCP has no part in it, as the peer's address is nobody's.
type rawLink struct {
	fd   int
	name *unix.SockaddrLinklayer
	buf  []byte
}

func newRawLink(t *testing.T, ns *namespace, device string) *rawLink {
	t.Helper()
	d, err := ns.device(device)
	if err != nil {
		t.Fatal(err)
	}
	l := &rawLink{buf: make([]byte, 1<<17), name: &unix.SockaddrLinklayer{Protocol: networkOrder(unix.ETH_P_ALL), Ifindex: d.Index}}
	err = ns.do(func() (err error) {
		l.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(networkOrder(unix.ETH_P_ALL)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(l.fd) })
	tick := unix.NsecToTimeval(int64(100 * time.Millisecond))
	err = errors.Join(
		unix.Bind(l.fd, l.name),
		unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 32<<20),
		unix.SetsockoptInt(l.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptTimeval(l.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tick))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }

// rawPeer is one end of a connection that does nothing by itself: the test says what it sends.
type rawPeer struct {
	link     *rawLink
	flow     tcp.Flow // as the peer sees it
	iss, irs tcp.Seq
	acked    int    // bytes of ours that are acknowledged
	echoed   []byte // what came back, in order
}

// send sends a segment of the message: at is where its payload begins.
func (p *rawPeer) send(flags tcp.Flags, at int, ack tcp.Seq, options, payload []byte) error {
	h := ip.Header{
		Src: p.flow.Local, Dst: p.flow.Remote, Protocol: ip.ProtocolTCP, TTL: 64, PayloadLen: 20 + len(options) + len(payload),
	}
	b := make([]byte, h.Len()+h.PayloadLen)
	s := b[h.Put(b):]
	binary.BigEndian.PutUint16(s[0:], p.flow.LocalPort)
	binary.BigEndian.PutUint16(s[2:], p.flow.RemotePort)
	binary.BigEndian.PutUint32(s[4:], uint32(p.iss+1)+uint32(at))
	binary.BigEndian.PutUint32(s[8:], uint32(ack))
	s[12] = byte(20+len(options)) / 4 << 4
	s[13] = byte(flags)
	binary.BigEndian.PutUint16(s[14:], 65535)
	copy(s[20:], options)
	copy(s[20+len(options):], payload)
	binary.BigEndian.PutUint16(s[16:], ^ip.Sum(s, ip.PseudoSum(h.Src, h.Dst, ip.ProtocolTCP, len(s))))
	to := *p.link.name
	to.Protocol = networkOrder(unix.ETH_P_IPV6)
	if h.Src.Is4() {
		to.Protocol = networkOrder(unix.ETH_P_IP)
	}
	return unix.Sendto(p.link.fd, b, 0, &to)
}

// receive returns the next segment for this peer.
func (p *rawPeer) receive(deadline time.Time) (*tcp.View, error) {
	for time.Now().Before(deadline) {
		n, _, err := unix.Recvfrom(p.link.fd, p.link.buf, 0)
		if err == unix.EAGAIN || err == unix.EINTR {
			continue
		}
		if err != nil {
			return nil, err
		}
		var packet ip.Packet
		var v tcp.View
		// The checksum is the kernel's business: a super-packet has none yet.
		if packet.Parse(p.link.buf[:n], ip.Offload{Checksum: ip.ChecksumVouched}) != ip.DropNone || packet.Protocol != ip.ProtocolTCP {
			continue
		}
		if v.Parse(&packet) == tcp.DropNone && v.Flow == p.flow {
			return &v, nil
		}
	}
	return nil, fmt.Errorf("nothing more came within %v", hung)
}

// open makes the handshake up to the SYN-ACK; the acknowledgement goes with the first data.
func (p *rawPeer) open(deadline time.Time) error {
	sack := []byte{2, 4, 0x05, 0xb4, 1, 1, 4, 2} // MSS 1460, SACK permitted
	if err := p.send(tcp.SYN, -1, 0, sack, nil); err != nil {
		return err
	}
	v, err := p.receive(deadline)
	if err != nil {
		return err
	}
	if v.Flags != tcp.SYN|tcp.ACK || v.Ack != p.iss+1 {
		return fmt.Errorf("the SYN is answered with %v, ack %d", v.Flags, v.Ack-p.iss)
	}
	p.irs = v.Seq
	return nil
}

// collect takes what comes until the whole message is acknowledged and echoed.
func (p *rawPeer) collect(size int, deadline time.Time) error {
	for p.acked < size || len(p.echoed) < size {
		v, err := p.receive(deadline)
		if err != nil {
			return fmt.Errorf("%d of %d bytes acknowledged, %d echoed: %w", p.acked, size, len(p.echoed), err)
		}
		if v.Flags&tcp.RST != 0 {
			return fmt.Errorf("reset with %d of %d bytes acknowledged", p.acked, size)
		}
		p.acked = max(p.acked, v.Ack.Sub(p.iss+1))
		if p.acked > size {
			return fmt.Errorf("%d bytes acknowledged, only %d were sent", p.acked, size)
		}
		have := p.irs + 1 + tcp.Seq(len(p.echoed))
		if skip := have.Sub(v.Seq); skip >= 0 && skip < len(v.Payload) {
			p.echoed = append(p.echoed, v.Payload[skip:]...)
		}
	}
	return nil
}
