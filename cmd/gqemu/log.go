package main

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// openLog makes the log of -d and -D. It is off by default, so that standard
// error holds QEMU's messages and nothing else.
func openLog(cfg *cli.Config) (zerolog.Logger, func(), error) {
	var w io.Writer = os.Stderr
	closeLog := func() {}
	if cfg.Log.File != "" {
		f, err := os.Create(cfg.Log.File)
		if err != nil {
			return zerolog.Nop(), nil, fmt.Errorf("Error opening logfile %s: %s", cfg.Log.File, errno.Text(err))
		}
		w, closeLog = f, func() { f.Close() }
	}
	if len(cfg.Log.Items) == 0 && len(cfg.Log.Trace) == 0 {
		return zerolog.Nop(), closeLog, nil
	}
	level := zerolog.InfoLevel
	if slices.Contains(cfg.Log.Items, "guest_errors") || slices.Contains(cfg.Log.Items, "unimp") {
		level = zerolog.DebugLevel
	}
	if len(cfg.Log.Trace) > 0 {
		level = zerolog.TraceLevel
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), closeLog, nil
}
