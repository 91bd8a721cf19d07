// The runtime need not look for the processors' share of a control group, at the
// start and then every second: vCPUs sleep in the kernel, and the rest is idle.

//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command gqemu is a QEMU-compatible virtual machine monitor centred on
// QEMU's generic vDPA device.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/system"
)

func main() { os.Exit(run(os.Args)) }

// checkFilename is chardev.CheckFilename in the form that cli wants: what to
// print before "parse error", and whether all is well.
func checkFilename(filename string, mux bool) (complaint string, ok bool) {
	err := chardev.CheckFilename(filename, mux)
	var syntax *chardev.SyntaxError
	if errors.As(err, &syntax) {
		return syntax.Text, false
	}
	return "", true
}

// run is the program: command line in, exit status out.
func run(argv []string) int {
	cfg, err := environment().Parse(argv)
	rep := cfg.Reporter(os.Stderr)
	if !isDaemon() {
		rep.Flush(cfg.Messages)
		fmt.Print(cfg.Output)
	}
	if err != nil {
		return rep.Fail(err, os.Stdout)
	}
	if len(cfg.Accels) > 0 && cfg.Accels[0].Name == "qtest" {
		oneProcessor() // it is cheapest while there is nothing to stop
	}
	types := newTypes()
	if len(cfg.Help) > 0 {
		system.PrintHelp(os.Stdout, rep, types, accelerators(), cpu.FlagNames(), cfg.Help)
		return 0
	}
	log, target, err := openLog(cfg)
	if err != nil {
		rep.Error(cli.Loc{}, err)
		return 1
	}
	defer target.close()
	daemon, done, err := daemonize(cfg)
	if err != nil {
		rep.Error(cli.Loc{}, err)
		return 1
	}
	if done != nil {
		return *done
	}
	if err := enterSandbox(cfg.Sandbox); err != nil {
		rep.Error(cfg.Sandbox.Loc, err)
		return 1
	}
	if name := cfg.Name.Process; name != "" {
		if err := setProcessName(name); err != nil {
			rep.Error(cli.Loc{}, err)
		}
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	signal.Ignore(syscall.SIGPIPE)

	removePidfile, err := writePidfile(cfg.Pidfile)
	if err != nil {
		rep.Error(cli.Loc{}, err)
		return 1
	}
	defer removePidfile()
	vm, err := system.New(cfg, system.Env{
		Types: types, Accelerators: accelerators(), Stdout: os.Stdout, Stderr: os.Stderr, Log: log, LogControl: target,
		Package: packageVersion(), Signals: signals,
	})
	if errors.Is(err, system.ErrHelp) {
		return 0
	}
	if killed, ok := errors.AsType[*system.SignalError](err); ok {
		removePidfile()
		return dieOf(killed.Signal.(syscall.Signal))
	}
	if err != nil {
		return 1
	}
	daemon.ready()
	stopTrim := trimLater()
	vm.Run()
	stopTrim()
	return vm.ExitStatus()
}
