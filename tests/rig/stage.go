package rig

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A stage is one step of the build. It is skipped when its key, a digest of
// all its inputs, is the one it was last run with and its outputs exist.
type stage struct {
	name    string
	outputs []string
	// key is asked when the stages before have run.
	key func() (string, error)
	run func(ctx context.Context) error
}

// builder runs stages and holds what they share.
type builder struct {
	*Artifacts
	log io.Writer
}

func (b *builder) printf(format string, args ...any) {
	fmt.Fprintf(b.log, "rig: "+format+"\n", args...)
}

func (b *builder) runStage(ctx context.Context, s stage) error {
	key, err := s.key()
	if err != nil {
		return fmt.Errorf("rig: %s: %w", s.name, err)
	}
	stamp := b.path("stamps", s.name)
	if old, err := os.ReadFile(stamp); err == nil && string(old) == key && allExist(s.outputs) {
		return nil
	}
	// A stage that dies half way must not look done.
	if err := os.Remove(stamp); err != nil && !os.IsNotExist(err) {
		return err
	}
	start := time.Now()
	b.printf("%s ...", s.name)
	stop := b.tick(s.name, start)
	err = s.run(ctx)
	stop()
	if err != nil {
		return fmt.Errorf("rig: %s: %w", s.name, err)
	}
	if err := os.MkdirAll(filepath.Dir(stamp), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(stamp, []byte(key), 0o644); err != nil {
		return err
	}
	b.printf("%s: done in %.1f s", s.name, time.Since(start).Seconds())
	return nil
}

// tick prints a line every five seconds, so that a long step is seen to live.
// The function it returns ends that.
func (b *builder) tick(name string, start time.Time) (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(5 * time.Second)
		defer t.Stop()
		for {
			select {
			case <-t.C:
				b.printf("%s: %.0f s ...", name, time.Since(start).Seconds())
			case <-quit:
				return
			}
		}
	}()
	return func() { close(quit); <-done }
}

// command runs a program of the host and returns its standard output. What it
// printed is part of the error when it fails.
func command(ctx context.Context, dir string, argv ...string) ([]byte, error) {
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", strings.Join(argv, " "), err, lastLines(out.String()+errs.String(), 25))
	}
	return []byte(out.String()), nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func allExist(paths []string) bool {
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			return false
		}
	}
	return true
}

// digest is a key over texts.
func digest(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s\n", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// digestFiles is a key over files' names and contents.
func digestFiles(paths ...string) (string, error) {
	h := sha256.New()
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%s\n", p)
		_, err = io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func fixedKey(parts ...string) func() (string, error) {
	return func() (string, error) { return digest(parts...), nil }
}

// replaceFile writes a file that a running machine may be reading: it gets a
// new one or the old one, and never half of it.
func replaceFile(path string, data []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
