package qtest

import (
	"errors"
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

var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Main runs a package's tests and removes what they built. In a child that
// [VDPASim] starts it becomes the emulator instead. Call it from
// TestMain.
func Main(m *testing.M) {
	if path := os.Getenv(shimEnv); path != "" {
		fmt.Fprintln(os.Stderr, shim(path))
		os.Exit(127)
	}
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// Binary gives the path of the emulator under test. The first call in a
// process builds it.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.path, built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "qtest-bin")
	if err != nil {
		return "", err
	}
	built.dir = dir
	link := filepath.Join(dir, ProgramName)
	if given := os.Getenv("QTEST_QEMU_BINARY"); given != "" {
		abs, err := filepath.Abs(given)
		if err != nil {
			return "", err
		}
		return link, os.Symlink(abs, link)
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "gqemu")
	args := []string{"build", "-o", out}
	env := os.Environ()
	if os.Getenv("GQEMU_QTEST_RACE") != "" {
		args, env = append(args, "-race"), append(env, "CGO_ENABLED=1")
	}
	cmd := exec.Command("go", append(args, "./cmd/gqemu")...)
	cmd.Dir, cmd.Env = root, env
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the emulator: %w\n%s", err, text)
	}
	return link, os.Symlink(out, link)
}

// moduleRoot finds the directory of go.mod: tests run in that of their
// package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = up
	}
}
