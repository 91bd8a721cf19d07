package system

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gqemu/gqemu/accel/qtest"
	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// createQtest serves the qtest protocol on the chardev of -qtest.
func (v *VM) createQtest() error {
	if v.cfg.Qtest == "" {
		return nil
	}
	v.rep.Flush(cli.ShortForms(v.cfg.Qtest))
	failed := fmt.Errorf("Failed to initialize device for qtest: \"%s\"", v.cfg.Qtest)
	cfg, err := chardev.ParseFilename(v.cfg.Qtest)
	var syntax *chardev.SyntaxError
	if err != nil {
		if !errors.As(err, &syntax) || syntax.Text != "" {
			v.report(err.Error())
		}
		return failed
	}
	c, err := v.chardevs.Add("qtest", cfg)
	if err != nil {
		v.report(err.Error())
		return failed
	}
	log, err := v.qtestLog()
	if err != nil {
		return err
	}
	v.qtest, err = qtest.NewServer(v.host, c, log)
	return err
}

// qtestLog is where the conversation goes: standard error unless -qtest-log
// names a file, or "none".
func (v *VM) qtestLog() (io.Writer, error) {
	switch {
	case !v.cfg.HasQtestLog:
		return v.env.Stderr, nil
	case v.cfg.QtestLog == "none":
		return nil, nil
	}
	f, err := os.Create(v.cfg.QtestLog)
	if err != nil {
		return nil, fmt.Errorf("Could not open '%s': %s", v.cfg.QtestLog, errno.Text(err))
	}
	v.cleanup = append(v.cleanup, func() { f.Close() })
	return f, nil
}
