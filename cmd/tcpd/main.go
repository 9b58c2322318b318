// Command tcpd is a TCP daemon in user space: it owns IP addresses that the kernel does not, and serves connections to them
// with a TCP of its own.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tcpd/config"
)

// Exit codes of the command line's contract.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitConfig = 78 // EX_CONFIG of sysexits.h; the unit file does not start again after it
)

func main() {
	shareProcessors()
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs a command line and returns its exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	ran, err := root.ExecuteC()
	return report(ran, err, stderr)
}

// failure is an error that happened while a command ran, in contrast to one of its usage.
type failure struct {
	error
	code int
}

func (f failure) Unwrap() error { return f.error }

// failed marks an error with its exit code.
func failed(err error) error {
	var problems config.Errors
	var f failure
	switch {
	case err == nil:
		return nil
	case errors.As(err, &f):
		return err
	case errors.As(err, &problems):
		return failure{err, exitConfig}
	}
	return failure{err, exitFailed}
}

// report prints an error, and returns the exit code that stands for it.
func report(cmd *cobra.Command, err error, stderr io.Writer) int {
	var f failure
	switch {
	case err == nil:
		return exitOK
	case !errors.As(err, &f):
		fmt.Fprintf(stderr, "tcpd: %v\nSee %s --help.\n", err, cmd.CommandPath())
		return exitUsage
	case f.code == exitConfig:
		fmt.Fprintln(stderr, f.Error())
	default:
		fmt.Fprintf(stderr, "tcpd: %s\n", strings.TrimPrefix(f.Error(), "tcpd: "))
	}
	return f.code
}
