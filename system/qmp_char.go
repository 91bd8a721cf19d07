package system

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// ChardevInfo is one entry of query-chardev.
type ChardevInfo struct {
	Label        string `qapi:"label"`
	Filename     string `qapi:"filename"`
	FrontendOpen bool   `qapi:"frontend-open"`
}

// QAPIName is the name of the type in the QMP schema.
func (ChardevInfo) QAPIName() string { return "ChardevInfo" }

// registerChar adds commands of the QAPI modules char and yank.
func (v *VM) registerChar() {
	register(v, "query-chardev", func(none) ([]ChardevInfo, error) { return v.listChardevs(), nil }, qapi.AllowPreconfig())
	register(v, "query-chardev-backends", func(none) ([]ChardevBackendInfo, error) {
		list := []ChardevBackendInfo{}
		for _, name := range chardev.Backends() {
			list = append([]ChardevBackendInfo{{name}}, list...)
		}
		return list, nil
	})
	qapi.Register(v.commands, "chardev-add", v.chardevAdd)
	qapi.Register(v.commands, "chardev-change", v.chardevChange)
	register(v, "chardev-remove", func(a chardevIDArgs) (none, error) { return none{}, v.removeChardev(a.ID) })
	register(v, "chardev-send-break", func(a chardevIDArgs) (none, error) {
		c, ok := v.findChardev(a.ID)
		if !ok {
			return none{}, qapi.Errorf("Chardev '%s' not found", a.ID)
		}
		c.SendBreak()
		return none{}, nil
	})
	register(v, "ringbuf-write", func(a ringbufWriteArgs) (none, error) { return none{}, v.ringbufWrite(a) })
	register(v, "ringbuf-read", func(a ringbufReadArgs) (string, error) { return v.ringbufRead(a) })
	register(v, "query-yank", func(none) ([]YankInstance, error) {
		list := []YankInstance{}
		for _, c := range v.chardevs.List() {
			if c.Backend() == "socket" {
				list = append(list, YankInstance{Type: "chardev", Chardev: &YankInstanceChardev{c.ID()}})
			}
		}
		return list, nil
	}, qapi.AllowOOB())
	register(v, "yank", func(a yankArgs) (none, error) { return none{}, v.yank(a.Instances) }, qapi.AllowOOB())
}

// findChardev finds a chardev without taking a place at a multiplexer.
func (v *VM) findChardev(id string) (*chardev.Chardev, bool) {
	for _, c := range v.chardevs.List() {
		if c.ID() == id {
			return c, true
		}
	}
	return nil, false
}

// listChardevs lists the chardevs in the order in which QEMU walks its tree.
func (v *VM) listChardevs() []ChardevInfo {
	byID := map[string]*chardev.Chardev{}
	for _, c := range v.chardevs.List() {
		byID[c.ID()] = c
	}
	list := []ChardevInfo{}
	for _, o := range qom.HashedChildren(v.chardevObjects) {
		if c := byID[o.QOM().Name()]; c != nil {
			info := ChardevInfo{Label: c.ID(), Filename: c.Filename(), FrontendOpen: c.FrontendOpen()}
			list = append([]ChardevInfo{info}, list...)
		}
	}
	return list
}

// chardevAdd makes a chardev. It may wait for a peer, as QEMU does; here the
// VM goes on meanwhile.
func (v *VM) chardevAdd(ctx context.Context, call *qapi.Call, a chardevAddArgs) (ChardevReturn, error) {
	if _, taken := v.findChardev(a.ID); taken {
		return ChardevReturn{}, qapi.Errorf("Chardev with id '%s' already exists", a.ID)
	}
	cfg, err := a.Backend.config(call.Session)
	if err == nil {
		err = v.openChardev(ctx, a.ID, cfg)
	}
	if errors.Is(err, chardev.ErrDuplicateID) {
		return ChardevReturn{}, qapi.Errorf("Chardev with id '%s' already exists", a.ID)
	}
	if err != nil {
		return ChardevReturn{}, qapi.Errorf("Failed to add chardev '%s': %w", a.ID, err)
	}
	return v.chardevReturn(a.ID), nil
}

// openChardev adds a chardev without the VM lock. When the client's session
// ends first, the registry finishes or aborts the attempt by itself.
func (v *VM) openChardev(ctx context.Context, id string, cfg chardev.Config) error {
	done := make(chan error, 1)
	go func() {
		_, err := v.chardevs.Add(id, cfg)
		done <- err
	}()
	v.mu.Unlock()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		err = ctx.Err()
	}
	v.mu.Lock()
	if err != nil {
		return err
	}
	return v.addChardevObject(id, cfg.Backend())
}

// chardevReturn tells where a pty is.
func (v *VM) chardevReturn(id string) ChardevReturn {
	c, ok := v.findChardev(id)
	if !ok {
		return ChardevReturn{}
	}
	if path, ok := strings.CutPrefix(c.Filename(), "pty:"); ok {
		return ChardevReturn{Pty: &path}
	}
	if path, ok := strings.CutPrefix(c.Filename(), "disconnected:pty:"); ok {
		return ChardevReturn{Pty: &path}
	}
	return ChardevReturn{}
}

// removeChardev closes a chardev that nothing uses. Its peer may take a second
// to read what is left, so the VM lock is released meanwhile.
func (v *VM) removeChardev(id string) error {
	v.mu.Unlock()
	err := v.chardevs.Remove(id)
	v.mu.Lock()
	if err == nil {
		v.forgetChardevObject(id)
	}
	return err
}

func (v *VM) forgetChardevObject(id string) {
	if o := qom.Child(v.chardevObjects, id); o != nil {
		qom.Unparent(o)
	}
}

// chardevChange gives a chardev another backend.
func (v *VM) chardevChange(ctx context.Context, call *qapi.Call, a chardevAddArgs) (ChardevReturn, error) {
	if err := v.checkChange(a.ID); err != nil {
		return ChardevReturn{}, err
	}
	cfg, err := a.Backend.config(call.Session)
	if err != nil {
		return ChardevReturn{}, err
	}
	if err := v.changeChardev(ctx, a.ID, cfg); err != nil {
		return ChardevReturn{}, err
	}
	return v.chardevReturn(a.ID), nil
}

// checkChange refuses what cannot have another backend.
func (v *VM) checkChange(id string) error {
	c, ok := v.findChardev(id)
	switch {
	case !ok:
		return qapi.Errorf("Chardev '%s' does not exist", id)
	case c.Backend() == "mux":
		return qapi.Errorf("Mux device hotswap not supported yet")
	}
	return nil
}

// changeChardev gives a chardev another backend. Without a user it is made
// anew; a user must be one that can go on with another.
func (v *VM) changeChardev(ctx context.Context, id string, cfg chardev.Config) error {
	if err := v.removeChardev(id); err == nil {
		if err := v.openChardev(ctx, id, cfg); err != nil {
			return qapi.Errorf("Failed to add chardev '%s': %w", id, err)
		}
		return nil
	}
	v.mu.Unlock()
	err := v.chardevs.Change(id, cfg)
	v.mu.Lock()
	if err != nil {
		return err
	}
	v.forgetChardevObject(id)
	return v.addChardevObject(id, cfg.Backend())
}

func (v *VM) ringbuf(id string) (*chardev.Chardev, error) {
	c, ok := v.findChardev(id)
	if !ok {
		return nil, qapi.Errorf("Device '%s' not found", id)
	}
	return c, nil
}

func (v *VM) ringbufWrite(a ringbufWriteArgs) error {
	c, err := v.ringbuf(a.Device)
	if err != nil {
		return err
	}
	data := []byte(a.Data)
	if a.Format != nil && *a.Format == "base64" {
		if err := c.WriteRing(nil); err != nil {
			return err
		}
		if data, err = decodeBase64(a.Data); err != nil {
			return err
		}
	}
	return c.WriteRing(data)
}

// decodeBase64 reads base64 as QEMU does: an incomplete group at the end is
// dropped.
func decodeBase64(s string) ([]byte, error) {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("+/=\n", c) >= 0) {
			return nil, qapi.Errorf("Base64 data contains invalid characters")
		}
	}
	groups := strings.ReplaceAll(s, "\n", "")
	data, err := base64.StdEncoding.DecodeString(groups[:len(groups)&^3])
	if err != nil {
		return nil, qapi.Errorf("Base64 data '%s' is not valid", s)
	}
	return data, nil
}

func (v *VM) ringbufRead(a ringbufReadArgs) (string, error) {
	c, err := v.ringbuf(a.Device)
	if err != nil {
		return "", err
	}
	if _, err := c.ReadRing(0); err != nil {
		return "", err
	}
	if a.Size <= 0 {
		return "", qapi.Errorf("size must be greater than zero")
	}
	data, err := c.ReadRing(int(min(a.Size, maxRingRead)))
	if err != nil {
		return "", err
	}
	if a.Format != nil && *a.Format == "base64" {
		return base64.StdEncoding.EncodeToString(data), nil
	}
	text, _, _ := strings.Cut(string(data), "\x00") // QEMU makes a C string of it
	return text, nil
}

// maxRingRead is more than a ringbuf holds, in bytes.
const maxRingRead = 1 << 31

// yank tears chardevs from their peers: all that are named, or none.
func (v *VM) yank(instances []YankInstance) error {
	var found []*chardev.Chardev
	for _, i := range instances {
		if i.Chardev == nil {
			return errYankNotFound
		}
		c, ok := v.findChardev(i.Chardev.ID)
		if !ok || c.Backend() != "socket" {
			return errYankNotFound
		}
		found = append(found, c)
	}
	for _, c := range found {
		c.Disconnect()
	}
	return nil
}
