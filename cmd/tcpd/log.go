package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sys/unix"

	"tcpd/service"
)

// A message that repeats is logged so often a second; the rest is counted (attack class D05: a log flood).
const repeatsPerSecond = 10

// logger is a zap logger whose level can change, and which says how much it kept to itself.
type logger struct {
	*zap.Logger
	level      zap.AtomicLevel
	suppressed atomic.Uint64 // entries left out
	reported   uint64        // of them, those that reportSuppressed has told of
}

// newLogger returns a logger that writes to w in a format of log.format, which is not "auto".
func newLogger(w io.Writer, level, format string, color bool) *logger {
	l := &logger{level: zap.NewAtomicLevel()}
	l.setLevel(level)
	var sink zapcore.WriteSyncer = writer{w}
	core := zapcore.NewCore(newEncoder(format, color), zapcore.Lock(sink), l.level)
	count := zapcore.SamplerHook(func(_ zapcore.Entry, d zapcore.SamplingDecision) {
		if d&zapcore.LogDropped != 0 {
			l.suppressed.Add(1)
		}
	})
	l.Logger = zap.New(zapcore.NewSamplerWithOptions(core, time.Second, repeatsPerSecond, 0, count))
	return l
}

// setLevel takes a value of log.level, which config has checked.
func (l *logger) setLevel(level string) {
	if parsed, err := zapcore.ParseLevel(level); err == nil {
		l.level.SetLevel(parsed)
	}
}

// leveled returns the log of a service, which does not know zap.
func (l *logger) leveled(name string) service.Log {
	named := l.Named(name)
	levels := [...]zapcore.Level{service.Info: zapcore.InfoLevel, service.Warn: zapcore.WarnLevel, service.Error: zapcore.ErrorLevel}
	return func(level service.Level, format string, args ...any) {
		named.Log(levels[level], fmt.Sprintf(format, args...))
	}
}

// warnf returns a function in the manner of fmt.Printf that logs at warn, for packages that do not know zap.
func (l *logger) warnf(name string) func(format string, args ...any) {
	named := l.Named(name)
	return func(format string, args ...any) { named.Warn(fmt.Sprintf(format, args...)) }
}

// writer is an io.Writer without anything to sync.
type writer struct{ io.Writer }

func (writer) Sync() error { return nil }

// logFormat resolves "auto" for a log that goes to f.
func logFormat(format string, f *os.File) string {
	switch {
	case format != "auto":
		return format
	case isTerminal(f):
		return "console"
	case isJournal(f, os.Getenv("JOURNAL_STREAM")):
		return "journal"
	}
	return "json"
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// isJournal reports whether f is the stream that systemd connected to its journal, as systemd.exec(5) says of
// $JOURNAL_STREAM: device and inode.
func isJournal(f *os.File, stream string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stream == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}

func newEncoder(format string, color bool) zapcore.Encoder {
	c := zapcore.EncoderConfig{
		MessageKey: "message", LevelKey: "level", NameKey: "part", TimeKey: "time",
		EncodeLevel: zapcore.LowercaseLevelEncoder, EncodeTime: zapcore.RFC3339NanoTimeEncoder,
		EncodeDuration: zapcore.StringDurationEncoder, EncodeName: zapcore.FullNameEncoder, ConsoleSeparator: " ",
	}
	switch format {
	case "console":
		c.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		if color {
			c.EncodeLevel = zapcore.LowercaseColorLevelEncoder
		}
		return zapcore.NewConsoleEncoder(c)
	case "journal":
		c.LevelKey, c.TimeKey = "", "" // the prefix says the one, the journal the other
		return journalEncoder{zapcore.NewConsoleEncoder(c)}
	}
	return zapcore.NewJSONEncoder(c)
}

// journalEncoder puts the priority of sd-daemon(3) in front of an entry, and keeps it in one line.
type journalEncoder struct{ zapcore.Encoder }

func (e journalEncoder) Clone() zapcore.Encoder { return journalEncoder{e.Encoder.Clone()} }

var journalLines = buffer.NewPool()

func (e journalEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	text, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	defer text.Free()
	line := journalLines.Get()
	fmt.Fprintf(line, "<%d>", priority(entry.Level))
	_, _ = line.Write(bytes.ReplaceAll(bytes.TrimRight(text.Bytes(), "\n"), []byte("\n"), []byte(" | ")))
	line.AppendByte('\n')
	return line, nil
}

// priority returns the level of syslog(3).
func priority(l zapcore.Level) int {
	switch {
	case l < zapcore.InfoLevel:
		return 7
	case l == zapcore.InfoLevel:
		return 6
	case l == zapcore.WarnLevel:
		return 4
	case l == zapcore.ErrorLevel:
		return 3
	}
	return 2
}

// reportSuppressed says how many entries were left out since it said so the last time.
func (l *logger) reportSuppressed() {
	if n := l.suppressed.Load(); n > l.reported {
		l.Warn("log entries that repeated were left out", zap.Uint64("entries", n-l.reported))
		l.reported = n
	}
}
