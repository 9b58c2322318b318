package service

// Level says how much a message matters to the operator.
type Level uint8

// The levels.
const (
	Info  Level = iota // what is as it should be, or a client's doing
	Warn               // clients are not served as they should be
	Error              // a mistake of this program, or a machine without resources
)

// Log takes a message for the operator, in the manner of fmt.Printf, without a newline. It may be nil, and is called from
// several goroutines. A client cannot make a service log without bound: what happens per connection is counted.
type Log func(level Level, format string, args ...any)

func (l Log) info(format string, args ...any) { l.say(Info, format, args...) }
func (l Log) warn(format string, args ...any) { l.say(Warn, format, args...) }
func (l Log) fail(format string, args ...any) { l.say(Error, format, args...) }

func (l Log) say(level Level, format string, args ...any) {
	if l != nil {
		l(level, format, args...)
	}
}
