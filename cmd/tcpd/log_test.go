package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"

	"tcpd/service"
)

func TestJournalLines(t *testing.T) {
	var out output
	log := newLogger(&out, "debug", "journal", true)
	log.Debug("one")
	log.Named("web").Info("two", zap.Int("n", 1))
	log.Warn("three\nlines\n")
	log.Error("four", zap.Error(fmt.Errorf("a\nb")))
	want := "<7>one\n<6>web two {\"n\": 1}\n<4>three | lines\n<3>four {\"error\": \"a\\nb\"}\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestJSONLines(t *testing.T) {
	var out output
	newLogger(&out, "info", "json", false).Info("ready", zap.String("device", "tcp0"))
	got := out.String()
	if !strings.HasPrefix(got, `{"level":"info","time":"`) || !strings.HasSuffix(got, `"message":"ready","device":"tcp0"}`+"\n") {
		t.Errorf("got %s", got)
	}
}

func TestLevelChanges(t *testing.T) {
	var out output
	log := newLogger(&out, "error", "journal", false)
	log.Info("no")
	log.setLevel("info")
	log.Info("yes")
	if got := out.String(); got != "<6>yes\n" {
		t.Errorf("got %q, want what came after the change of level only", got)
	}
}

// What keeps a service from serving is seen at level warn, what a client did is not.
func TestServicesHaveLevels(t *testing.T) {
	var out output
	say := newLogger(&out, "warn", "journal", false).leveled("app")
	say(service.Info, "a client's %s", "doing")
	say(service.Warn, "backend %s is down", "x")
	say(service.Error, "no descriptors")
	if got, want := out.String(), "<4>app backend x is down\n<3>app no descriptors\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Attack class D05: what repeats is left out, counted, and told of.
func TestLogFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out output
		log := newLogger(&out, "info", "journal", false)
		for range 1000 {
			log.Info("again")
		}
		log.Info("something else")
		log.reportSuppressed()
		log.reportSuppressed()
		want := strings.Repeat("<6>again\n", repeatsPerSecond) + "<6>something else\n" +
			"<4>log entries that repeated were left out {\"entries\": 990}\n"
		if got := out.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	})
}

func TestLogFormat(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got := logFormat("auto", f); got != "json" {
		t.Errorf("to a file the format is %s, want json", got)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	t.Setenv("JOURNAL_STREAM", fmt.Sprintf("%d:%d", stat.Dev, stat.Ino))
	if got := logFormat("auto", f); got != "journal" {
		t.Errorf("to the stream of $JOURNAL_STREAM the format is %s, want journal", got)
	}
	if got := logFormat("console", f); got != "console" {
		t.Errorf("the format that was chosen became %s", got)
	}
}
