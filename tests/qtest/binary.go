package qtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// ProgramName is the name the emulator is started under. Error texts begin
// with it, and clients look at its ending.
const ProgramName = "qemu-system-x86_64"

// emulatorPackage is built where no binary is given. It is found from any
// module that requires this one.
const emulatorPackage = "github.com/gqemu/gqemu/cmd/gqemu"

var built struct {
	mu   sync.Mutex
	done bool
	dir  string
	path string
	err  error
}

// Main runs a package's tests and removes what they built. In a child that
// [VDPASim] starts it becomes the emulator instead. Call it from
// TestMain; without, the binary stays in the directory for temporary files.
func Main(m *testing.M) {
	if path := os.Getenv(shimEnv); path != "" {
		fmt.Fprintln(os.Stderr, shim(path))
		os.Exit(127)
	}
	code := m.Run()
	RemoveBinary()
	os.Exit(code)
}

// Binary gives the path of the emulator under test: QTEST_QEMU_BINARY, or else
// a gqemu that the first call builds.
func Binary(t testing.TB) string {
	t.Helper()
	built.mu.Lock()
	defer built.mu.Unlock()
	if !built.done {
		built.path, built.err = build()
		built.done = true
	}
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// RemoveBinary removes what Binary built. Main does so; programs that use
// [Script] call it at their end.
func RemoveBinary() {
	built.mu.Lock()
	defer built.mu.Unlock()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	built.dir, built.path, built.done = "", "", false
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "qtest-bin")
	if err != nil {
		return "", err
	}
	built.dir = dir
	link := filepath.Join(dir, ProgramName)
	if given := os.Getenv("QTEST_QEMU_BINARY"); given != "" {
		abs, err := exec.LookPath(given)
		if err == nil {
			abs, err = filepath.Abs(abs)
		}
		if err != nil {
			return "", fmt.Errorf("QTEST_QEMU_BINARY: %w", err)
		}
		return link, os.Symlink(abs, link)
	}
	out := filepath.Join(dir, "gqemu")
	args := []string{"build", "-o", out}
	env := os.Environ()
	if os.Getenv("GQEMU_QTEST_RACE") != "" {
		args, env = append(args, "-race"), append(env, "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, emulatorPackage)...)
	cmd.Env = env
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s (QTEST_QEMU_BINARY names no binary): %w\n%s", emulatorPackage, err, text)
	}
	return link, os.Symlink(out, link)
}
