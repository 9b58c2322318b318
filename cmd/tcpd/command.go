package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"tcpd/config"
)

const about = `tcpd answers on IP addresses of its own with a TCP of its own, behind a TUN device.

Without a configuration file it creates the device, gives the kernel 10.77.0.1 and fd77::1,
answers on 10.77.0.2 and fd77::2, and serves echo (7), discard (9), daytime (13),
chargen (19) and HTTP (80).`

const examples = `  sudo tcpd --tun tcp0                               # then: curl http://10.77.0.2/
  sudo tcpd --tun tcp0 --addr 192.168.50.2/24        # another address; the kernel gets 192.168.50.1
  tcpd check --config /etc/tcpd/tcpd.yaml            # is this file right?
  sudo tcpd run --config /etc/tcpd/tcpd.yaml
  sudo tcpd status`

func newRootCommand() *cobra.Command {
	settings := &settings{}
	root := &cobra.Command{
		Use: "tcpd", Short: "A TCP daemon in user space", Long: about, Example: examples,
		Args: cobra.NoArgs, SilenceErrors: true, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().NFlag() == 0 {
				return errors.New("nothing to do: give --tun NAME, --config FILE or a command such as run")
			}
			return failed(run(cmd.Context(), settings, cmd.OutOrStdout()))
		},
	}
	settings.define(root)
	root.Version = version()
	root.SetVersionTemplate(versionLine())
	root.Flags().Bool("version", false, "print the version")
	root.AddCommand(newRunCommand(), newCheckCommand(), newReloadCommand(), newStatusCommand(), newVersionCommand())
	root.AddCommand(newDoctorCommand(), newDatagramCommand(), newDemoCommand(), newImpairCommand(), newSendCommand(), newRecvCommand())
	root.AddCommand(newGetCommand(), newNcCommand(), newPingCommand())
	root.AddCommand(newConnsCommand(), newConnCommand(), newTunnelCommand(), newProfileCommand())
	return root
}

func newRunCommand() *cobra.Command {
	settings := &settings{}
	cmd := &cobra.Command{
		Use: "run", Short: "Run the daemon in the foreground", Args: cobra.NoArgs,
		Example: `  sudo tcpd run --tun tcp1 --addr 10.79.0.2/24      # then: ping 10.79.0.2`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return failed(run(cmd.Context(), settings, cmd.OutOrStdout()))
		},
	}
	settings.define(cmd)
	return cmd
}

func newCheckCommand() *cobra.Command {
	settings := &settings{}
	var print bool
	cmd := &cobra.Command{
		Use: "check", Short: "Check a configuration without running it", Args: cobra.NoArgs,
		Example: `  tcpd check --config tcpd.yaml
  tcpd check --print                                # the built-in configuration, every key`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := settings.load()
			if err != nil {
				return failed(err)
			}
			for _, w := range c.Warnings {
				fmt.Fprint(cmd.ErrOrStderr(), "warning: "+w.Text())
			}
			if print {
				fmt.Fprint(cmd.OutOrStdout(), c)
				return nil
			}
			carrier := "device " + c.Tun.Name
			if u := c.Link.UDP; u.Used() {
				carrier = fmt.Sprintf("a link at %v", u.Listen)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s is right: %s answers on %s, %s\n",
				settings.source(), carrier, addressList(c), plural(len(c.Services), "service"))
			return nil
		},
	}
	settings.define(cmd)
	cmd.Flags().BoolVar(&print, "print", false, "print the whole configuration, defaults included")
	return cmd
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs, Example: `  tcpd version`,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprint(cmd.OutOrStdout(), versionLine())
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("tcpd %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// version returns the module's version, or the commit it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return "devel"
}

// oneArg is an argument that has to be there; what says which.
func oneArg(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) == 0:
			return fmt.Errorf("give %s", what)
		case len(args) > 1:
			return fmt.Errorf("%q is one argument too many", args[1])
		}
		return nil
	}
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func addressList(c *config.Config) string {
	list := ""
	for i, a := range c.Addresses {
		if i > 0 {
			list += ", "
		}
		list += a.Addr().String()
	}
	return list
}
