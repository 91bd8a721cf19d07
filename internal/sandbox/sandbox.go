// Package sandbox gives up, for the whole process and for good, system calls
// that a virtual machine monitor does not need once it runs. It is what -sandbox
// asks for, with QEMU's sub-options.
package sandbox

import (
	"fmt"
	"runtime"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/sys"
)

// Policy says what the process may still do. The zero Policy denies all that
// can be denied.
type Policy struct {
	// Obsolete allows system calls that nothing has used for long.
	Obsolete bool
	// Privileges allows changing users, groups and sessions.
	Privileges bool
	// Spawn says what becomes of an attempt to fork or to execute a program.
	Spawn Spawn
	// Resources allows changing the scheduling of threads.
	Resources bool
}

// Spawn is what becomes of forks and of the execution of programs.
type Spawn int

const (
	SpawnRefuse Spawn = iota // fails with EPERM
	SpawnKill                // ends the process
	SpawnAllow
)

// The groups are QEMU's, without what x86-64 does not have.
var (
	always = []string{"reboot", "swapon", "swapoff", "syslog", "mount", "umount2", "kexec_load", "kexec_file_load",
		"afs_syscall", "getpmsg", "putpmsg", "security", "tuxcall", "vserver"}
	obsolete   = []string{"_sysctl", "create_module", "get_kernel_syms", "query_module", "sysfs", "uselib", "ustat"}
	privileges = []string{"setuid", "setgid", "setpgid", "setsid", "setreuid", "setregid", "setresuid", "setresgid",
		"setfsuid", "setfsgid"}
	spawn     = []string{"fork", "vfork", "execve", "execveat"}
	resources = []string{"setpriority", "sched_setparam", "sched_setscheduler", "sched_setattr", "sched_setaffinity"}
)

// filter is the policy as the library takes it.
func (p Policy) filter() seccomp.Policy {
	f := seccomp.Policy{
		DefaultAction: seccomp.ActionAllow,
		Syscalls:      []seccomp.SyscallGroup{{Names: always, Action: seccomp.ActionKillProcess}},
	}
	deny := func(names []string, a seccomp.Action) {
		f.Syscalls = append(f.Syscalls, seccomp.SyscallGroup{Names: names, Action: a})
	}
	if !p.Obsolete {
		deny(obsolete, seccomp.ActionKillProcess)
	}
	if !p.Privileges {
		deny(privileges, seccomp.ActionKillProcess)
	}
	if p.Spawn != SpawnAllow {
		a := seccomp.ActionErrno
		if p.Spawn == SpawnKill {
			a = seccomp.ActionKillProcess
		}
		deny(spawn, a)
		// A clone that makes no thread makes a process. The flags of clone3 are in
		// memory, which a filter cannot read: it does as where there is no clone3.
		f.Syscalls = append(f.Syscalls,
			seccomp.SyscallGroup{Action: a, NamesWithCondtions: []seccomp.NameWithConditions{{
				Name: "clone",
				Conditions: seccomp.ArgumentConditions{
					{Argument: 0, Operation: seccomp.BitsNotSet, Value: unix.CLONE_THREAD},
				},
			}}},
			seccomp.SyscallGroup{Names: []string{"clone3"}, Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)})
	}
	if !p.Resources {
		deny(resources, seccomp.ActionErrno)
	}
	return f
}

// Enter puts the policy into force on all threads, those to come included, and
// sets no_new_privs: no program executed later gains rights by its file. It
// cannot be undone. System calls by another ABI than the process's own end the
// process, since the policy does not know their numbers.
func Enter(p Policy) error {
	// no_new_privs belongs to a thread; TSYNC gives it to the others.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: p.filter()})
	if err == nil {
		err = sys.SeccompNativeABI()
	}
	if err != nil {
		return fmt.Errorf("failed to install seccomp syscall filter in the kernel: %w", err)
	}
	return nil
}
