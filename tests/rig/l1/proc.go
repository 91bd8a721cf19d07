package l1

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Mapping is one of a process's memory mappings.
type Mapping struct {
	Name     string // file, [heap] and the like, or empty
	Writable bool
	Size     int64 // bytes
	PSS      int64 // bytes: its share of what is resident
}

// Mappings reads /proc/PID/smaps.
func Mappings(pid int) ([]Mapping, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []Mapping
	s := bufio.NewScanner(f)
	for s.Scan() {
		fields := strings.Fields(s.Text())
		if len(fields) < 3 {
			continue
		}
		if key, ok := strings.CutSuffix(fields[0], ":"); ok {
			if key != "Size" && key != "Pss" || len(list) == 0 {
				continue
			}
			kib, err := strconv.ParseInt(fields[1], 10, 64)
			if err != nil {
				return nil, fmt.Errorf("smaps: %q: %w", s.Text(), err)
			}
			m := &list[len(list)-1]
			if key == "Size" {
				m.Size = kib << 10
			} else {
				m.PSS = kib << 10
			}
			continue
		}
		m := Mapping{Writable: strings.Contains(fields[1], "w")}
		if len(fields) > 5 {
			m.Name = strings.Join(fields[5:], " ")
		}
		list = append(list, m)
	}
	return list, s.Err()
}

// PSSWithoutRAM is the memory a VMM takes besides its guest's, in bytes. The
// guest's RAM is known by being writable and either a memfd or as large as the
// guest's memory.
func PSSWithoutRAM(pid, memoryMiB int) (int64, error) {
	list, err := Mappings(pid)
	if err != nil {
		return 0, err
	}
	var sum, ram int64
	for _, m := range list {
		if m.Writable && (m.Size >= int64(memoryMiB)<<20 || strings.HasPrefix(m.Name, "/memfd:")) {
			ram += m.Size
			continue
		}
		sum += m.PSS
	}
	if ram < int64(memoryMiB)<<20 {
		return 0, fmt.Errorf("process %d has no mappings that look like %d MiB of guest RAM", pid, memoryMiB)
	}
	return sum, nil
}

// Resources are what a VMM must not leak.
type Resources struct {
	FDs int
	// Files are the mappings of files, memfds and devices; Maps all of them.
	Files, Maps int
}

// CountResources looks at a process.
func CountResources(pid int) (Resources, error) {
	var r Resources
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return r, err
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return r, err
	}
	r.FDs = len(fds)
	for _, l := range strings.Split(strings.TrimSpace(string(maps)), "\n") {
		r.Maps++
		if f := strings.Fields(l); len(f) > 5 && strings.HasPrefix(f[5], "/") {
			r.Files++
		}
	}
	return r, nil
}

// Threads says, for a process that hangs, what each of its threads does and
// how long it has run. It is empty for a process that is gone.
func Threads(pid int) string {
	dirs, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil {
		return ""
	}
	var b strings.Builder
	for _, dir := range dirs {
		read := func(name string) string {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return "?"
			}
			return strings.TrimSpace(string(text))
		}
		// The fields behind the name, which may hold anything; proc(5).
		stat := read("stat")
		f := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
		if len(f) < 13 {
			continue
		}
		fmt.Fprintf(&b, "  thread %s %s: state %s, %s user and %s system ticks, waits in %s, system call %s\n",
			filepath.Base(dir), read("comm"), f[0], f[11], f[12], read("wchan"), read("syscall"))
	}
	return b.String()
}
