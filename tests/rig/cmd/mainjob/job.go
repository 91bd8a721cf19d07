package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/digitalocean/go-qemu/qmp"
)

// bootTime bounds how long the guest may take to its init.
const bootTime = 5 * time.Minute

// job is one run of the guest.
type job struct {
	dir, kernel, initrd string
	devices             []string

	stdin io.Writer
	lines chan string // the guest's console; closed when gqemu ends
	next  int         // id of the next command
}

func (j *job) run(ctx context.Context) error {
	socket := filepath.Join(j.dir, "qmp.sock")
	args := []string{"-M", "microvm", "-accel", "kvm", "-m", "512m", "-smp", "2",
		"-kernel", j.kernel, "-initrd", j.initrd, "-append", "console=ttyS0 panic=-1",
		"-nodefaults", "-display", "none", "-serial", "stdio",
		"-qmp", "unix:" + socket + ",server=on,wait=off"}
	for _, d := range j.devices {
		args = append(args, "-device", "vhost-vdpa-device,vhostdev="+d)
	}
	say("gqemu %s", strings.Join(args, " "))
	gqemu, err := gqemuPath()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, gqemu, args...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	j.stdin, j.lines = stdin, make(chan string, 1<<16)
	go j.console(stdout)
	err = j.steps(socket)
	if err != nil {
		_ = cmd.Process.Kill() // it may have ended already
	}
	for range j.lines { // until gqemu has closed its output
	}
	if werr := cmd.Wait(); err == nil && werr != nil {
		err = fmt.Errorf("gqemu: %w", werr)
	}
	if err == nil {
		say("gqemu ended with exit status 0")
	}
	return err
}

// gqemuPath is bin/gqemu of the checkout that this process was started in.
func gqemuPath() (string, error) {
	p, err := filepath.Abs("bin/gqemu")
	if err == nil {
		_, err = os.Stat(p)
	}
	return p, err
}

// console shows the guest's console and hands its lines on.
func (j *job) console(r io.Reader) {
	defer close(j.lines)
	in := bufio.NewScanner(r)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := strings.TrimRight(in.Text(), "\r")
		fmt.Println(line)
		j.lines <- line
	}
}

// until reads the console up to a line that begins with prefix and gives the
// rest of that line, and of those before it that begin with collect.
func (j *job) until(prefix, collect string, limit time.Duration) (rest string, collected []string, err error) {
	over := time.After(limit)
	for {
		select {
		case line, ok := <-j.lines:
			if !ok {
				return "", nil, fmt.Errorf("gqemu ended while waiting for %q", prefix)
			}
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, collected, nil
			}
			if c, ok := strings.CutPrefix(line, collect); ok && collect != "" {
				collected = append(collected, c)
			}
		case <-over:
			return "", nil, fmt.Errorf("no %q on the console within %v", prefix, limit)
		}
	}
}

// guest runs a shell command in the guest.
func (j *job) guest(command string) (string, error) {
	say("in the guest: %s", command)
	j.next++
	id := fmt.Sprint(j.next)
	if _, err := fmt.Fprintf(j.stdin, "!%s %s\n", id, command); err != nil {
		return "", err
	}
	status, out, err := j.until("="+id+" ", "|"+id+" ", 3*time.Minute)
	if err != nil {
		return "", err
	}
	if status != "0" {
		return "", fmt.Errorf("in the guest, %q ended with status %s", command, status)
	}
	return strings.Join(out, "\n"), nil
}

func (j *job) steps(socket string) error {
	if _, _, err := j.until("GQEMU-GUEST-READY", "", bootTime); err != nil {
		return err
	}
	mon, err := qmp.NewSocketMonitor("unix", socket, 5*time.Second)
	if err != nil {
		return err
	}
	if err := mon.Connect(); err != nil {
		return err
	}
	events, err := mon.Events(context.Background())
	if err != nil {
		return err
	}
	for _, c := range []string{"query-version", "query-status", "query-cpus-fast"} {
		out, err := mon.Run([]byte(fmt.Sprintf("{%q:%q}", "execute", c)))
		if err != nil {
			return fmt.Errorf("%s: %w", c, err)
		}
		say("QMP %s: %s", c, out)
	}
	for _, c := range []string{
		"ls -d /sys/bus/virtio/devices/virtio*",
		"cat /sys/block/vda/size",
		"dd if=/dev/urandom of=/tmp/data bs=1M count=24 && dd if=/tmp/data of=/dev/vda bs=1M && sync",
		"echo 3 >/proc/sys/vm/drop_caches && dd if=/dev/vda bs=1M count=24 | cmp - /tmp/data && echo 24 MiB are equal",
	} {
		if _, err := j.guest(c); err != nil {
			return err
		}
	}
	say("the guest read back from its vDPA disk what it wrote")
	if _, err := fmt.Fprintf(j.stdin, "!0 poweroff -f\n"); err != nil {
		return err
	}
	over := time.After(time.Minute)
	for {
		select {
		case e, ok := <-events:
			if !ok {
				return fmt.Errorf("QMP: the connection closed before SHUTDOWN")
			}
			data, err := json.Marshal(e.Data)
			if err != nil {
				return err
			}
			say("QMP event %s %s", e.Event, data)
			if e.Event == "SHUTDOWN" {
				return nil
			}
		case <-over:
			return fmt.Errorf("no SHUTDOWN within a minute after poweroff")
		}
	}
}
