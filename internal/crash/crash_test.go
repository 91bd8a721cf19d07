package crash

import (
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const how = "CRASH_TEST_HOW"

// TestMain is also the program that crashes.
func TestMain(m *testing.M) {
	if os.Getenv(how) == "" {
		os.Exit(m.Run())
	}
	cancelled := OnCrash(func() { println("cancelled") })
	OnCrash(func() { println("undone") })
	cancelled()
	switch os.Getenv(how) {
	case "panic":
		Go(func() { panic("oops") })
	case "quit":
		Signals()
		_ = syscall.Kill(os.Getpid(), syscall.SIGQUIT)
	case "abort":
		Signals()
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
	}
	time.Sleep(10 * time.Second)
	println("alive")
}

// A crash undoes what is registered and still looks like the crash it is.
func TestCrash(t *testing.T) {
	for kind, text := range map[string]string{"panic": "panic: oops", "quit": "SIGQUIT: quit", "abort": "SIGABRT: abort"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), how+"="+kind)
		out, err := cmd.CombinedOutput()
		s := string(out)
		if err == nil || !strings.HasPrefix(s, "undone\n") || !strings.Contains(s, text) || strings.Contains(s, "cancelled\n") {
			t.Errorf("%s: %v\n%s", kind, err, s)
		}
	}
}

// Without a panic Handle does nothing.
func TestNoCrash(t *testing.T) {
	defer OnCrash(func() { t.Error("undone") })()
	done := make(chan struct{})
	Go(func() { close(done) })
	<-done
	Signals()()
}
