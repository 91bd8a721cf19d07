package sandbox

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// deedEnv tells a child of the test what to try under which policy.
const deedEnv = "SANDBOX_TEST_DEED"

var deeds = map[string]func() error{
	"exec":  func() error { return syscall.Exec("/bin/true", []string{"true"}, nil) },
	"spawn": func() error { return exec.Command("/bin/true").Run() },
	"setgid": func() error {
		_, _, e := unix.RawSyscall(unix.SYS_SETGID, uintptr(os.Getgid()), 0, 0)
		return asError(e)
	},
	"nice": func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, 5) },
	"sysfs": func() error {
		_, _, e := unix.RawSyscall(unix.SYS_SYSFS, 3, 0, 0)
		return asError(e)
	},
	"swapoff": func() error {
		_, _, e := unix.RawSyscall(unix.SYS_SWAPOFF, 0, 0, 0)
		return asError(e)
	},
	// A thread that was there before the filter.
	"thread": func() error { return nil },
	// The runtime goes on: new threads, memory, collection.
	"live": func() error {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				runtime.LockOSThread()
				_ = make([]byte, 1<<20)
				runtime.GC()
			})
		}
		wg.Wait()
		return nil
	},
}

func asError(e syscall.Errno) error {
	if e != 0 {
		return e
	}
	return nil
}

var policies = map[string]Policy{
	"strict": {Spawn: SpawnKill},
	"plain":  {Privileges: true, Resources: true},
	"loose":  {Obsolete: true, Privileges: true, Spawn: SpawnAllow, Resources: true},
}

func TestMain(m *testing.M) {
	if s := os.Getenv(deedEnv); s != "" {
		deed, policy, _ := strings.Cut(s, "/")
		os.Exit(try(deeds[deed], policies[policy], deed == "thread"))
	}
	os.Exit(m.Run())
}

// Exit statuses of try.
const (
	done    = 0
	refused = 3
	failed  = 4
)

func try(deed func() error, p Policy, onOther bool) int {
	ask, answer := make(chan bool), make(chan int)
	ready := make(chan bool)
	go func() {
		runtime.LockOSThread()
		ready <- true
		<-ask
		answer <- outcome(deeds["exec"]())
	}()
	<-ready
	if err := Enter(p); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return failed
	}
	if n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || n != 1 {
		return failed
	}
	if onOther {
		ask <- true
		return <-answer
	}
	return outcome(deed())
}

func outcome(err error) int {
	switch {
	case err == nil:
		return done
	case errors.Is(err, unix.EPERM):
		return refused
	}
	os.Stderr.WriteString(err.Error() + "\n")
	return failed
}

// TestPolicies: what each policy refuses, what ends the process, and that the
// rest works. Each deed is tried in a process of its own, since there is no way
// back.
func TestPolicies(t *testing.T) {
	const killed = -1
	for _, c := range []struct {
		deed string
		want int
	}{
		{"exec/plain", refused}, {"exec/strict", killed}, {"exec/loose", done},
		{"spawn/plain", refused}, {"spawn/strict", killed}, {"spawn/loose", done},
		{"thread/plain", refused}, {"thread/strict", killed},
		{"setgid/plain", done}, {"setgid/strict", killed},
		{"nice/plain", done}, {"nice/strict", refused},
		{"sysfs/plain", killed}, {"sysfs/loose", done},
		{"swapoff/loose", killed},
		{"live/plain", done}, {"live/strict", done},
	} {
		t.Run(c.deed, func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), deedEnv+"="+c.deed)
			out, err := cmd.CombinedOutput()
			st := cmd.ProcessState
			if st == nil {
				t.Fatal(err)
			}
			got := st.ExitCode()
			if ws := st.Sys().(syscall.WaitStatus); ws.Signaled() && ws.Signal() != syscall.SIGSYS {
				t.Fatalf("signal %v\n%s", ws.Signal(), out)
			}
			if got != c.want {
				t.Errorf("exit status %d, want %d\n%s", got, c.want, out)
			}
		})
	}
}
