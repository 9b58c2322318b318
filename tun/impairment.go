package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"tcpd/ip"
)

// Impairment says how bad a link is made, in each direction alike. The zero value leaves it as it is.
type Impairment struct {
	Loss      float64 // part of the packets, 0 to 1, that are lost
	Duplicate float64 // that arrive twice
	Reorder   float64 // that are overtaken by those behind them
	Corrupt   float64 // of which one bit is another

	Delay  time.Duration // of every packet; what finds 128 MiB in the buffers of those that wait is dropped, as beyond Queue
	Jitter time.Duration // by which the delay varies, up and down; the order stays
	Rate   float64       // bits a second; 0: without limit
	Queue  int           // bytes that may wait for the rate; 0: what passes in 100 ms, at least 64 KiB

	// Seed decides all chances: the same packets meet the same fate.
	Seed uint64
	// Prefix restricts all of it to packets from or to these addresses, Port to those from or to this TCP port. The zero
	// values restrict nothing.
	Prefix netip.Prefix
	Port   uint16
}

const (
	queueTime  = 100 * time.Millisecond
	leastQueue = 64 << 10
	leastHold  = 2 * time.Millisecond // of a packet that is to be overtaken
	mostDelay  = time.Hour
)

// Check reports what is wrong with i.
func (i *Impairment) Check() error {
	for _, p := range []struct {
		name  string
		value float64
	}{{"loss", i.Loss}, {"duplicate", i.Duplicate}, {"reorder", i.Reorder}, {"corrupt", i.Corrupt}} {
		if !(p.value >= 0 && p.value <= 1) {
			return fmt.Errorf("impair: %s of %v%% is not between 0%% and 100%%", p.name, p.value*100)
		}
	}
	switch {
	case i.Delay < 0 || i.Delay > mostDelay:
		return fmt.Errorf("impair: delay %v is not between 0 and %v", i.Delay, mostDelay)
	case i.Jitter < 0 || i.Jitter > i.Delay:
		return fmt.Errorf("impair: jitter %v is larger than the delay, %v, which it varies", i.Jitter, i.Delay)
	case i.Rate != 0 && !(i.Rate >= 1000):
		return fmt.Errorf("impair: a rate of %v bit/s is too slow: at least 1kbit", i.Rate)
	case i.Queue < 0 || i.Queue > 0 && i.Rate == 0:
		return errors.New("impair: a queue needs a rate that it waits for")
	}
	return nil
}

// Active reports whether i changes anything.
func (i *Impairment) Active() bool {
	return i.Loss > 0 || i.Duplicate > 0 || i.Reorder > 0 || i.Corrupt > 0 || i.Delay > 0 || i.Rate > 0
}

func (i *Impairment) queue() int {
	if i.Queue > 0 {
		return i.Queue
	}
	return max(int(i.Rate/8*queueTime.Seconds()), leastQueue)
}

// covers reports whether a packet is within the scope.
func (i *Impairment) covers(packet []byte) bool {
	if !i.Prefix.IsValid() && i.Port == 0 {
		return true
	}
	var src, dst netip.Addr
	transport := -1
	switch {
	case len(packet) >= ip.HeaderLen4 && packet[0]>>4 == 4:
		src, dst = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20]))
		if packet[9] == ip.ProtocolTCP {
			transport = int(packet[0]&15) * 4
		}
	case len(packet) >= ip.HeaderLen6 && packet[0]>>4 == 6:
		src, dst = netip.AddrFrom16([16]byte(packet[8:24])), netip.AddrFrom16([16]byte(packet[24:40]))
		if packet[6] == ip.ProtocolTCP {
			transport = ip.HeaderLen6
		}
	default:
		return false
	}
	if i.Prefix.IsValid() && !i.Prefix.Contains(src) && !i.Prefix.Contains(dst) {
		return false
	}
	if i.Port == 0 {
		return true
	}
	if transport < 0 || len(packet) < transport+4 {
		return false
	}
	be := binary.BigEndian
	return be.Uint16(packet[transport:]) == i.Port || be.Uint16(packet[transport+2:]) == i.Port
}

// Fate is what became of a packet on an impaired link.
type Fate uint8

// The fates.
const (
	FatePassed Fate = iota
	FateLost
	FateDuplicated
	FateReordered
	FateCorrupted
	FateQueueFull // dropped: too much waits for the rate, for the end of a delay, or for the reader
	NumFates
)

var fateNames = [NumFates]string{"passed", "lost", "duplicated", "reordered", "corrupted", "queue_full"}

// String returns the fate as a metric label.
func (f Fate) String() string {
	if f < NumFates {
		return fateNames[f]
	}
	return "unknown"
}

// lot is what was drawn for one packet.
type lot struct {
	fate   Fate
	copies int
	hold   time.Duration // beyond the delay
	delay  time.Duration
	bit    int // to flip; -1: none
}

// draw decides about a packet of n bytes. It takes as many chances for each packet, whatever comes of them, so that a
// change of one probability leaves the others' decisions as they were.
func (i *Impairment) draw(d *rand.Rand, n int) lot {
	lost, twice, late, flip := d.Float64(), d.Float64(), d.Float64(), d.Float64()
	spread, wait, bit := d.Float64(), d.Float64(), d.IntN(8*n)
	l := lot{copies: 1, bit: -1, delay: i.Delay + time.Duration((2*spread-1)*float64(i.Jitter))}
	switch {
	case lost < i.Loss:
		return lot{fate: FateLost, bit: -1}
	case flip < i.Corrupt:
		l.fate, l.bit = FateCorrupted, bit
	case late < i.Reorder:
		l.fate = FateReordered
		l.hold = time.Duration((0.5 + wait) * float64(max(i.Delay/2, leastHold)))
	}
	if twice < i.Duplicate {
		l.copies = 2
		if l.fate == FatePassed {
			l.fate = FateDuplicated
		}
	}
	return l
}
