package qtest

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// BenchmarkStartup measures from exec to the first QMP reply, and beside it
// the installed QEMU, if there is one, with no guest code to run: the ratio is
// reported as "of-qemu".
func BenchmarkStartup(b *testing.B) {
	ours := Binary(b)
	qemu, err := exec.LookPath(ProgramName)
	if err != nil {
		qemu = ""
	}
	once := func(path string, args ...string) time.Duration {
		cmd := exec.Command(path, append(args, "-nodefaults", "-display", "none", "-S", "-qmp", "stdio")...)
		in, err := cmd.StdinPipe()
		if err != nil {
			b.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		cmd.Stderr = os.Stderr
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		r := bufio.NewReader(out)
		line := func(want string) {
			s, err := r.ReadString('\n')
			if err != nil || !strings.Contains(s, want) {
				b.Fatalf("%s: %q, %v", path, s, err)
			}
		}
		line(`"QMP"`)
		if _, err := in.Write([]byte(`{"execute":"qmp_capabilities"}` + "\n")); err != nil {
			b.Fatal(err)
		}
		line(`"return"`)
		d := time.Since(start)
		_ = cmd.Process.Kill() // it has served its purpose
		_ = cmd.Wait()
		return d
	}
	for _, machine := range []string{"none", "microvm"} {
		b.Run(machine, func(b *testing.B) {
			var own, other time.Duration
			for b.Loop() {
				own += once(ours, "-M", machine, "-accel", "qtest")
				if qemu != "" {
					b.StopTimer()
					other += once(qemu, "-M", machine, "-accel", "tcg")
					b.StartTimer()
				}
			}
			b.ReportMetric(float64(own.Microseconds())/1000/float64(b.N), "ms/start")
			if other > 0 {
				b.ReportMetric(float64(other.Microseconds())/1000/float64(b.N), "ms/qemu-start")
				b.ReportMetric(float64(own)/float64(other), "of-qemu")
			}
		})
	}
}
