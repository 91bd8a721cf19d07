package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// said runs a write and gives what it said.
func said(t *testing.T, dir string) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = w
	defer func() { os.Stdout = old }()
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(r)
		text <- string(b)
	}()
	err = writeVerb([]string{"-seed", "7", "-mib", "4", dir})
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return <-text
}

// verify holds dir against text.
func verify(t *testing.T, dir, text string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "said")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	old := os.Stdin
	os.Stdin = f
	defer func() { os.Stdin = old }()
	return verifyVerb([]string{"-seed", "7", dir})
}

// What was said to be safe and is not there as it was written is found.
func TestVerifyFindsWhatIsLost(t *testing.T) {
	dir := t.TempDir()
	text, ok := strings.CutSuffix(said(t, dir), "MiB\n")
	if !ok {
		t.Fatalf("the write said %q", text)
	}
	text = text[:strings.LastIndex(text, "WRITTEN")]
	if err := verify(t, dir, text); err != nil {
		t.Fatal(err)
	}
	var slot, gen int
	if _, err := fmt.Sscanf(text, "SAFE file %d %d", &slot, &gen); err != nil {
		t.Fatal(err)
	}
	file, table := filepath.Join(dir, fileName(slot)), filepath.Join(dir, "table")
	spoil := func(path string, f func([]byte) []byte) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f(append([]byte(nil), b...)), 0o644); err != nil {
			t.Fatal(err)
		}
		if verify(t, dir, text) == nil {
			t.Errorf("%s was spoilt, and nobody saw it", path)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	spoil(file, func(b []byte) []byte { b[len(b)-1]++; return b })
	spoil(file, func(b []byte) []byte { return b[:len(b)-1] })
	spoil(file, func([]byte) []byte { return fileData(slot, 0) })
	spoil(file, func([]byte) []byte { return nil })
	first := newTableOrder(7).next()
	at := first * blockSize
	spoil(table, func(b []byte) []byte { b[at+100]++; return b })
	spoil(table, func(b []byte) []byte { copy(b[at:], tableData(first, 0)); return b })
	spoil(table, func(b []byte) []byte { return b[:at] })
	if err := verify(t, dir, text+fmt.Sprintf("SAFE file %d 1000000\n", slot)); err == nil {
		t.Error("a generation that was never written was found")
	}
	if err := verify(t, dir, "SAFE nothing\n"); err == nil {
		t.Error("a line that says nothing was taken")
	}
}
