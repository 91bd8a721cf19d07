package main

import (
	"os"
	"testing"

	"github.com/gqemu/gqemu/cli"
)

// -trace file= takes the log, unless -D names another file.
func TestTraceFile(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { new(logTarget).SetItems(nil, nil) }) // the level is the whole program's
	for _, c := range []struct {
		log  cli.Log
		want string
	}{
		{cli.Log{TraceFile: dir + "/trace", Trace: []string{"*"}}, "trace"},
		{cli.Log{TraceFile: dir + "/unused", File: dir + "/log", Trace: []string{"*"}}, "log"},
	} {
		log, target, err := openLog(&cli.Config{Log: c.log})
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("hello")
		target.close()
		if b, err := os.ReadFile(dir + "/" + c.want); err != nil || len(b) == 0 {
			t.Errorf("%s: %q, %v", c.want, b, err)
		}
	}
	if _, err := os.Stat(dir + "/unused"); err == nil {
		t.Error("the file of -trace was made beside that of -D")
	}
}
