package cli

import (
	"path"
	"strings"
)

// trace is -trace.
func (p *parser) trace(o Option) error {
	opts, err := p.parseOpts(p.group(&traceSpec), o.Arg, true)
	if err != nil {
		return err
	}
	if pattern, ok := opts.Get("enable"); ok {
		if IsHelp(pattern) {
			p.ask("trace", "", o.Loc)
			return errHelp
		}
		p.traceEvents(pattern)
	}
	if file, ok := opts.Get("events"); ok && p.env.ReadFile != nil {
		if err := p.traceFile(file); err != nil {
			return err
		}
	}
	if file, ok := opts.Get("file"); ok {
		p.cfg.Log.TraceFile = file
	}
	return nil
}

// traceEvents turns the events that pattern names on, or with a leading '-'
// off.
func (p *parser) traceEvents(pattern string) {
	p.cfg.Log.Trace = append(p.cfg.Log.Trace, pattern)
	name := strings.TrimPrefix(pattern, "-")
	if strings.Contains(name, "*") {
		return
	}
	for _, e := range p.env.TraceEvents {
		if e == name {
			return
		}
	}
	p.warn("trace event '"+name+"' does not exist", "")
}

// traceFile reads a list of events, one a line.
func (p *parser) traceFile(file string) error {
	loc := p.loc
	p.loc = Loc{File: file}
	data, err := p.env.ReadFile(file)
	if err != nil {
		err = errf("%s", p.env.errno(err))
		return p.fail(err)
	}
	for line := range strings.Lines(string(data)) {
		p.loc.Line++
		if line = strings.TrimSuffix(line, "\n"); line != "" && line[0] != '#' {
			p.traceEvents(line)
		}
	}
	p.loc = loc
	return nil
}

// Traced tells whether the patterns of -trace and -d trace: turn an event on.
// A later pattern wins; one that begins with '-' turns off.
func (l *Log) Traced(event string) bool {
	on := false
	for _, pattern := range l.Trace {
		name, off := strings.CutPrefix(pattern, "-")
		if ok, err := path.Match(name, event); err == nil && ok {
			on = !off
		}
	}
	return on
}
