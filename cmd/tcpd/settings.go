package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"tcpd/config"
)

// settings are the flags that stand for keys of the configuration, and the file they go over.
type settings struct {
	file string
	cmd  *cobra.Command
}

// settingFlags says which key each flag stands for.
var settingFlags = []struct {
	flag, key string
	list      bool
}{
	{"tun", "tun.name", false},
	{"mode", "tun.mode", false},
	{"create", "tun.create", false},
	{"queues", "tun.queues", false},
	{"offload", "tun.offload", false},
	{"mtu", "tun.mtu", false},
	{"host", "tun.host", true},
	{"bridge", "tun.bridge", false},
	{"gateway", "tun.gateway", true},
	{"link", "link", false},
	{"link-any", "link.udp.any", false},
	{"addr", "addresses", true},
	{"log-level", "log.level", false},
	{"log-format", "log.format", false},
	{"metrics", "metrics.listen", false},
	{"socket", "control.socket", false},
	{"drain", "shutdown.drain", false},
}

func (s *settings) define(cmd *cobra.Command) {
	s.cmd = cmd
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration `FILE`; without it the built-in one")
	f.String("tun", "", "`NAME` of the TUN device")
	f.String("mode", "", "tun, or tap: a host of an Ethernet")
	f.Bool("create", true, "create the device if it does not exist")
	f.String("queues", "", "`N` queues, or auto")
	f.String("offload", "", "super-packets: auto, on or off")
	f.Int("mtu", 0, "MTU in `BYTES`")
	f.StringSlice("host", nil, "`ADDRESS/LENGTH` of the kernel's side, may be repeated; by default derived from --addr")
	f.String("bridge", "", "`NAME` of the bridge that a TAP becomes a port of")
	f.StringSlice("gateway", nil, "`ADDRESS` of a router for a TAP, may be repeated")
	f.String("link", "", "`udp:LOCAL,REMOTE`: packets inside UDP datagrams instead of a device")
	f.Bool("link-any", false, "take packets of the link from everybody, and send to whoever was heard last")
	f.StringSlice("addr", nil, "`ADDRESS/LENGTH` to answer to, may be repeated")
	f.String("log-level", "", "debug, info, warn or error")
	f.String("log-format", "", "auto, console, journal or json")
	f.String("metrics", "", "serve metrics at `ADDRESS:PORT`")
	f.String("socket", "", "`PATH` of the control socket")
	f.String("drain", "", "`TIME` that connections have to finish when the daemon stops")
	f.SortFlags = false
}

// load reads the file, if any, and puts the flags over it.
func (s *settings) load() (*config.Config, error) { return config.Load(s.file, s.overrides()...) }

func (s *settings) overrides() []config.Flag {
	var list []config.Flag
	for _, f := range settingFlags {
		flag := s.cmd.Flags().Lookup(f.flag)
		if !flag.Changed {
			continue
		}
		o := config.Flag{Name: "--" + f.flag, Key: f.key, List: f.list}
		if v, ok := flag.Value.(interface{ GetSlice() []string }); ok {
			o.Values = v.GetSlice()
		} else {
			o.Values = []string{flag.Value.String()}
		}
		list = append(list, o)
	}
	return list
}

// source names where the configuration comes from.
func (s *settings) source() string {
	if s.file != "" {
		return s.file
	}
	n := len(s.overrides())
	if n == 0 {
		return "the built-in configuration"
	}
	return "the built-in configuration with " + strconv.Itoa(n) + " of its keys set by flags"
}
