package cli

import (
	"bytes"
	"errors"
	"regexp"
	"strings"
	"sync"
	"syscall"

	"github.com/gqemu/gqemu/internal/qjson"
)

// Limits of a configuration file, as QEMU has them.
const (
	configName = 63   // bytes of a group, an id or a key
	configLine = 1023 // bytes of a line; a longer one is read as several
)

// What the lines are made of. Compiled when first used: that takes as long as
// the rest of a command line.
var (
	configGroupID = onFirstUse(`^\[([^\s\]]{1,63})\s*"([^"]{1,63})"`)
	configGroup   = onFirstUse(`^\[([^\]]{1,63})`)
	configArg     = onFirstUse(`^\s*([^\s]{1,63})`)
	configValue   = onFirstUse(`^\s*=\s*"([^"]+)`)
)

func onFirstUse(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// readConfig reads a file of options, -readconfig. It has groups, `[group
// "id"]`, with lines `name = "value"` below.
func (p *parser) readConfig(o Option) error {
	if p.env.ReadFile == nil {
		return errf("configuration files cannot be read here")
	}
	data, err := p.env.ReadFile(o.Arg)
	if err != nil {
		what := "Could not open '" + o.Arg + "'"
		if errors.Is(err, syscall.EISDIR) { // which opens, but does not read
			what = "Cannot read config file"
		}
		return errf("%s: %s", what, p.env.errno(err))
	}
	var group string
	var args map[string]any // of the group in hand, nil before the first
	var order []string
	at := Loc{File: o.Arg}
	flush := func() error {
		if args == nil {
			return nil
		}
		loc := p.loc
		p.loc = at
		err := p.configGroup(group, args, order)
		p.loc = loc
		return err
	}
	for len(data) > 0 {
		line := nextLine(&data)
		at.Line++
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[' && configGroup().MatchString(line):
			if err := flush(); err != nil {
				return err
			}
			args, order = map[string]any{}, nil
			if m := configGroupID().FindStringSubmatch(line); m != nil {
				group, args["id"] = m[1], m[2]
			} else {
				group = configGroup().FindStringSubmatch(line)[1]
			}
		default:
			m := configArg().FindStringSubmatch(line)
			if m == nil {
				return errf("parse error")
			}
			if args == nil {
				return errf("no group defined")
			}
			value := ""
			if v := configValue().FindStringSubmatch(line[len(m[0]):]); v != nil {
				value = v[1]
			}
			if _, again := args[m[1]]; !again {
				order = append(order, m[1])
			}
			args[m[1]] = value
		}
	}
	return flush()
}

// nextLine takes a line off data, without its end.
func nextLine(data *[]byte) string {
	d := *data
	n := bytes.IndexByte(d, '\n')
	switch {
	case n < 0 && len(d) <= configLine:
		*data = nil
		return string(d)
	case n < 0 || n > configLine:
		*data = d[configLine:]
		return string(d[:configLine])
	}
	*data = d[n+1:]
	return string(d[:n])
}

// configGroup acts on one group of a configuration file.
func (p *parser) configGroup(group string, args map[string]any, order []string) error {
	switch group {
	case "machine", "smp-opts", "boot-opts", "object", "audiodev":
		tree, err := crumple(args)
		if err != nil {
			return err
		}
		switch group {
		case "machine":
			return MergeKeyval(p.cfg.Machine.Props, tree)
		case "smp-opts":
			return MergeKeyval(p.cfg.Machine.Props, map[string]any{"smp": tree})
		case "boot-opts":
			return MergeKeyval(p.cfg.Machine.Props, map[string]any{"boot": tree})
		case "object":
			return p.addObject(ObjectOpt{Loc: p.loc}, treeDialect{m: tree, keyval: true})
		}
		_, err = visit(treeDialect{m: tree, keyval: true}, audiodevMembers)
		return err
	}
	g := p.groups[group]
	if g == nil {
		return errf("There is no option group '%s'", group)
	}
	id, hasID := args["id"].(string)
	o, err := g.create(p.loc, id, hasID)
	if err != nil {
		return err
	}
	for _, name := range order {
		if name == "id" {
			continue
		}
		e := Opt{name, args[name].(string)}
		if err := g.check(e); err != nil {
			return err
		}
		o.list = append(o.list, e)
	}
	switch group {
	case chardevSpec.Name:
		p.cfg.Chardevs = append(p.cfg.Chardevs, ChardevOpt{Loc: o.Loc, ID: o.ID, HasID: o.HasID, Opts: o})
	case netdevSpec.Name, nicSpec.Name, netSpec.Name:
		p.cfg.Networks = append(p.cfg.Networks, NetOpt{Loc: o.Loc, Kind: group, Opts: o})
	case fsdevSpec.Name:
		return errf("%s", lacks("file system devices"))
	case tpmdevSpec.Name:
		return errf("%s", lacks("TPM devices"))
	}
	return nil
}

// crumple turns dotted keys into a tree, as the keyval syntax does.
func crumple(args map[string]any) (map[string]any, error) {
	var b strings.Builder
	for _, k := range qjson.Keys(args) {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(k + "=" + strings.ReplaceAll(args[k].(string), ",", ",,"))
	}
	tree, _, err := ParseKeyval(b.String(), "")
	return tree, err
}

// set is -set GROUP.ID.ARG=VALUE: it changes an option that came before.
func (p *parser) set(o Option) error {
	m := setSyntax().FindStringSubmatch(o.Arg)
	if m == nil {
		return errf("can't parse: \"%s\"", o.Arg)
	}
	group, id, name, value := m[1], m[2], m[3], m[4]
	g := p.groups[group]
	if g == nil {
		return errf("There is no option group '%s'", group)
	}
	opts := g.find(id, true)
	if opts == nil {
		return errf("there is no %s \"%s\" defined", group, id)
	}
	e := Opt{name, value}
	if err := g.check(e); err != nil {
		return err
	}
	opts.list = append(opts.list, e)
	return nil
}

var setSyntax = onFirstUse(`(?s)^([^.]{1,63})\.([^.]{1,63})\.([^=]{1,63})=(.*)$`)
