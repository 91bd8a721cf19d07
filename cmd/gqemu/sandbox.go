package main

import (
	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/sandbox"
)

// enterSandbox does what -sandbox says. It comes after daemonize, the only
// place where this program executes another, and before anything that a guest
// or a client has a hand in. Nothing needs a fork later, so that without spawn=
// they are refused too.
func enterSandbox(s cli.Sandbox) error {
	if !s.On {
		return nil
	}
	p := sandbox.Policy{Obsolete: s.AllowObsolete, Privileges: s.AllowPrivileges, Resources: s.AllowResources}
	switch {
	case s.Spawn && s.AllowSpawn:
		p.Spawn = sandbox.SpawnAllow
	case s.Spawn:
		p.Spawn = sandbox.SpawnKill
	}
	return sandbox.Enter(p)
}
