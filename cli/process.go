package cli

// RunAs is the user that the process becomes once the machine stands (-runas).
type RunAs struct {
	Name     string // "" for a numeric one
	UID, GID int
}

// User is what Env.LookupUser finds.
type User struct{ UID, GID int }

func (p *parser) runas(o Option) error {
	if p.env.LookupUser != nil {
		if u, ok := p.env.LookupUser(o.Arg); ok {
			p.cfg.RunAs = &RunAs{o.Arg, u.UID, u.GID}
			return nil
		}
	}
	uid := scanUint(o.Arg, 0)
	if uid.ok && !uid.negative && !uid.overflow && uid.value < 1<<32-1 && len(uid.rest) > 1 && uid.rest[0] == ':' {
		gid := scanUint(uid.rest[1:], 0)
		if gid.ok && gid.rest == "" && !gid.negative && !gid.overflow && gid.value < 1<<32-1 {
			p.cfg.RunAs = &RunAs{"", int(uid.value), int(gid.value)}
			return nil
		}
	}
	return errf("User \"%s\" doesn't exist (and is not <uid>:<gid>)", o.Arg)
}

// Sandbox is -sandbox, checked.
type Sandbox struct {
	Loc Loc
	On  bool
	// What the process may still do.
	AllowObsolete, AllowPrivileges, AllowSpawn, AllowResources bool
	// Spawn tells that spawn= was given at all.
	Spawn bool
}

// sandbox checks the -sandbox options; the last one that is on counts.
func (p *parser) sandbox() error {
	for _, o := range p.group(&sandboxSpec).all {
		if !optBool(o, "enable") {
			continue
		}
		s := Sandbox{Loc: o.Loc, On: true, AllowPrivileges: true, AllowSpawn: true, AllowResources: true}
		for _, c := range []struct {
			name   string
			to     *bool
			others []string
		}{
			{"obsolete", &s.AllowObsolete, nil},
			{"elevateprivileges", &s.AllowPrivileges, []string{"children"}},
			{"spawn", &s.AllowSpawn, nil},
			{"resourcecontrol", &s.AllowResources, nil},
		} {
			v, ok := o.Get(c.name)
			if !ok {
				continue
			}
			s.Spawn = s.Spawn || c.name == "spawn"
			switch {
			case v == "allow":
				*c.to = true
			case v == "deny" || len(c.others) > 0 && v == c.others[0]:
				*c.to = false
			default:
				p.loc = o.Loc
				return errf("invalid argument for %s", c.name)
			}
		}
		p.cfg.Sandbox = s
	}
	return nil
}

// addFDs reads the -add-fd options.
func (p *parser) addFDs() {
	number := func(o *Opts, name string) int {
		s, ok := o.Get(name)
		if !ok {
			return -1
		}
		n, _ := parseUint64(s) // the group's declaration has checked it
		return int(int32(n))
	}
	for _, o := range p.group(&addFDSpec).all {
		f := AddFD{Loc: o.Loc, FD: number(o, "fd"), Set: number(o, "set")}
		if s, ok := o.Get("opaque"); ok {
			f.Opaque = &s
		}
		p.cfg.AddFDs = append(p.cfg.AddFDs, f)
	}
}

func (p *parser) overcommit(o Option) error {
	opts, err := p.parseOpts(p.group(&overcommitSpec), o.Arg, false)
	if err != nil {
		return err
	}
	for name, to := range map[string]*bool{"mem-lock": &p.cfg.MemLock, "cpu-pm": &p.cfg.CPUPM} {
		if _, ok := opts.Get(name); ok {
			*to = optBool(opts, name)
		}
	}
	return nil
}

func (p *parser) runWith(o Option) error {
	opts, err := p.parseOpts(p.group(&runWithSpec), o.Arg, false)
	if err != nil {
		return err
	}
	if dir, ok := opts.Get("chroot"); ok {
		p.cfg.Chroot, p.cfg.HasChroot = dir, true
	}
	return nil
}

func (p *parser) chroot(o Option) error {
	p.warn("option is deprecated, use '-run-with chroot=...' instead", "")
	p.cfg.Chroot, p.cfg.HasChroot = o.Arg, true
	return nil
}
