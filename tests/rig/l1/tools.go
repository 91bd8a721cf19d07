package l1

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// toolTimeout is for a program of L1's that should take a second.
const toolTimeout = 2 * time.Minute

// tool runs a program in L1, which must succeed.
func tool(t testing.TB, argv ...string) string {
	t.Helper()
	out, err := tryTool(argv...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, out)
	}
	return out
}

func tryTool(argv ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), toolTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// writeImage makes a disk image with data at an offset.
func writeImage(t testing.TB, path string, size, offset int64, data []byte) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, offset); err != nil {
		t.Fatal(err)
	}
}
