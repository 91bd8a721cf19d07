package chardev

import (
	"os"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

const crashEnv = "CHARDEV_TEST_CRASH"

// panicky is a frontend that cannot stand input.
type panicky struct{ testFrontend }

func (panicky) Receive([]byte) { panic("input") }

type testFrontend struct{}

func (testFrontend) CanReceive() int { return 1 }
func (testFrontend) Receive([]byte)  {}
func (testFrontend) Event(Event)     {}
func (testFrontend) Writable()       {}

// crashHere is the process of TestCrashRestoresTerminal: it makes its terminal
// raw, says so, and dies.
func crashHere(how string) {
	var r Registry
	c, err := r.Add("c", StdioConfig{})
	if err != nil {
		panic(err)
	}
	if err := c.Attach(panicky{}); err != nil {
		panic(err)
	}
	c.Write([]byte("ready\n"))
	if how == "quit" {
		_ = unix.Kill(os.Getpid(), unix.SIGQUIT)
	}
	select {}
}

// The user's terminal has its settings back when the process dies of a panic on
// a goroutine of a chardev, or of a signal that makes it dump.
func TestCrashRestoresTerminal(t *testing.T) {
	if how := os.Getenv(crashEnv); how != "" {
		crashHere(how)
	}
	for _, how := range []string{"panic", "quit"} {
		t.Run(how, func(t *testing.T) {
			master, slave := ptyPair(t)
			before := termios(t, slave)
			cmd := exec.Command(os.Args[0], "-test.run=^TestCrashRestoresTerminal$")
			cmd.Env = append(os.Environ(), crashEnv+"="+how)
			cmd.Stdin, cmd.Stdout = slave, slave
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if got := readString(t, master, 7); got != "ready\r\n" {
				t.Fatalf("got %q", got)
			}
			if _, err := master.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("it did not crash")
			}
			if after := termios(t, slave); after != before {
				t.Errorf("settings %+v, before %+v", after, before)
			}
		})
	}
}
