package system

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gqemu/gqemu/accel/qtest"
	"github.com/gqemu/gqemu/chardev"
)

// createQtest serves the qtest protocol on the chardev of -qtest.
func (v *VM) createQtest() error {
	if v.cfg.Qtest == "" {
		return nil
	}
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
	v.qtest, err = qtest.NewServer(v.host, c, v.qtestLog())
	return err
}

// qtestLog is where the conversation goes: standard error unless -qtest-log
// names a file, or "none". As in QEMU a file that cannot be made is no reason
// not to start.
func (v *VM) qtestLog() io.Writer {
	switch {
	case !v.cfg.HasQtestLog:
		return v.env.Stderr
	case v.cfg.QtestLog == "none", v.cfg.QtestLog == os.DevNull:
		return nil
	}
	f, err := os.Create(v.cfg.QtestLog)
	if err != nil {
		return nil
	}
	v.cleanup = append(v.cleanup, func() { f.Close() })
	return f
}
