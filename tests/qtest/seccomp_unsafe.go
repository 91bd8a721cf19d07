package qtest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"
)

// This file answers system calls of the emulator in its stead, by seccomp's
// user notification (seccomp_unotify(2)). That takes no privilege.

// Numbers of linux/seccomp.h, linux/prctl.h and of system calls that package
// syscall lacks, for x86-64.
const (
	sysSeccomp    = 317
	sysPidfdOpen  = 434
	sysPidfdGetfd = 438

	prSetNoNewPrivs            = 38
	seccompSetModeFilter       = 1
	seccompNewListener         = 1 << 3
	seccompWaitKillable        = 1 << 5
	seccompNotifRecv           = 0xc0502100
	seccompNotifSend           = 0xc0182101
	seccompRetAllow            = 0x7fff0000
	seccompRetUserNotif        = 0x7fc00000
	auditArchX8664             = 0xc000003e
	shimEnv                    = "QTEST_SECCOMP_SHIM"
	pollIn               int16 = 1
)

// notification is struct seccomp_notif.
type notification struct {
	id         uint64
	pid, flags uint32
	nr         int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	val   int64
	err   int32
	flags uint32
}

// shim is what a child does that is started in place of the emulator: it has
// vhost ioctls sent to its parent, hands over the descriptor for that, and
// becomes the emulator. It returns only with an error.
func shim(path string) error {
	runtime.LockOSThread()
	if _, _, e := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); e != 0 {
		return fmt.Errorf("no_new_privs: %w", e)
	}
	// All ioctls with the type of vhost, on x86-64.
	filter := []syscall.SockFilter{
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 4},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: auditArchX8664, Jf: 6},
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 0},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: syscall.SYS_IOCTL, Jf: 4},
		{Code: syscall.BPF_LD | syscall.BPF_W | syscall.BPF_ABS, K: 24},
		{Code: syscall.BPF_ALU | syscall.BPF_AND | syscall.BPF_K, K: 0xff00},
		{Code: syscall.BPF_JMP | syscall.BPF_JEQ | syscall.BPF_K, K: 0xaf00, Jf: 1},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: seccompRetUserNotif},
		{Code: syscall.BPF_RET | syscall.BPF_K, K: seccompRetAllow},
	}
	prog := syscall.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	var fd uintptr
	var e syscall.Errno
	for _, flags := range []uintptr{seccompNewListener | seccompWaitKillable, seccompNewListener} {
		fd, _, e = syscall.RawSyscall(sysSeccomp, seccompSetModeFilter, flags, uintptr(unsafe.Pointer(&prog)))
		if e != syscall.EINVAL {
			break
		}
	}
	if e != 0 {
		return fmt.Errorf("seccomp: %w", e)
	}
	const toParent = 3
	syscall.CloseOnExec(toParent)
	if err := syscall.Sendmsg(toParent, []byte{0}, syscall.UnixRights(int(fd)), nil, 0); err != nil {
		return fmt.Errorf("sending the listener: %w", err)
	}
	os.Unsetenv(shimEnv)
	return syscall.Exec(path, append([]string{ProgramName}, os.Args[1:]...), os.Environ())
}

// receiveFD takes one descriptor from a socket.
func receiveFD(c *net.UnixConn) (int, error) {
	oob := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return -1, err
	}
	msgs, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, fmt.Errorf("no descriptor came: %w", err)
	}
	fds, err := syscall.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("no descriptor came: %w", err)
	}
	syscall.CloseOnExec(fds[0])
	return fds[0], nil
}

// readable waits until a descriptor can be read, for at most ms milliseconds.
// gone says that nobody is at the other end any more.
func readable(fd, ms int) (ok, gone bool) {
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollIn}
	n, _, e := syscall.Syscall(syscall.SYS_POLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(ms))
	if e != 0 || n == 0 {
		return false, false
	}
	return p.revents&pollIn != 0, p.revents&pollIn == 0
}

var errVanished = errors.New("the call was interrupted")

// receive takes the next call that waits. readable has said that there is one.
func receive(listener int) (notification, error) {
	var n notification
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), seccompNotifRecv, uintptr(unsafe.Pointer(&n))); e != 0 {
		return n, errVanished
	}
	return n, nil
}

// answer ends a call with a result, or an errno.
func answer(listener int, id uint64, val int64, errno syscall.Errno) error {
	r := response{id: id, val: val, err: -int32(errno)}
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, uintptr(listener), seccompNotifSend, uintptr(unsafe.Pointer(&r))); e != 0 {
		return errVanished
	}
	return nil
}

// stealFD duplicates a descriptor of another process.
func stealFD(pid, fd int) (int, error) {
	p, _, e := syscall.Syscall(sysPidfdOpen, uintptr(pid), 0, 0)
	if e != 0 {
		return -1, fmt.Errorf("pidfd_open: %w", e)
	}
	defer syscall.Close(int(p))
	n, _, e := syscall.Syscall(sysPidfdGetfd, p, uintptr(fd), 0)
	if e != 0 {
		return -1, fmt.Errorf("pidfd_getfd: %w", e)
	}
	return int(n), nil
}
