package monitor

import (
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qapi"
)

// isOOB says whether a message looks like a command to run out of band.
func isOOB(m map[string]any) bool {
	_, in := m["execute"]
	_, oob := m["exec-oob"]
	return oob && !in
}

// handle runs one request and answers it.
func (s *session) handle(req *request) {
	s.mu.Lock()
	c := &call{s: s, gen: req.gen, state: s.state, fds: req.fds}
	s.mu.Unlock()
	defer c.done()

	m, isObject := req.value.(map[string]any)
	id, hasID := m["id"]
	var ret any
	var answer bool
	err := req.err
	switch {
	case err != nil:
	case !isObject:
		err = qapi.Errorf("QMP input must be a JSON object")
	default:
		ret, answer, err = s.execute(c, m)
	}

	var rsp qjson.Object
	switch {
	case err != nil:
		rsp = qjson.Object{{Key: "error", Value: qjson.Object{
			{Key: "class", Value: string(qapi.ClassOf(err))},
			{Key: "desc", Value: err.Error()},
		}}}
	case answer:
		rsp = qjson.Object{{Key: "return", Value: ret}}
	default:
		return
	}
	if hasID {
		rsp = append(rsp, qjson.Member{Key: "id", Value: id})
		rsp.Sort()
	}
	s.reply(req.gen, rsp, c.end)
}

// execute runs the command that message m asks for.
func (s *session) execute(c *call, m map[string]any) (ret any, answer bool, err error) {
	name, oob, err := checkMessage(m, c.state.oob)
	if err != nil {
		return nil, false, err
	}
	cmd := s.set.cfg.Registry.Command(name)
	if !c.state.negotiated && name != capabilitiesCommand {
		return nil, false, qapi.ClassErrorf(qapi.CommandNotFound,
			"Expecting capabilities negotiation with '%s'", capabilitiesCommand)
	}
	if cmd == nil {
		return nil, false, qapi.ClassErrorf(qapi.CommandNotFound, "The command %s has not been found", name)
	}
	if oob && !cmd.AllowOOB {
		return nil, false, qapi.Errorf("The command %s does not support OOB", name)
	}
	args, _ := m["arguments"].(map[string]any)
	if args == nil {
		args = map[string]any{}
	}
	ran := true
	body := func() {
		if p := s.set.cfg.Preconfig; p != nil && !cmd.AllowPreconfig && p() {
			err = qapi.Errorf("The command '%s' is permitted only after machine initialization has completed", name)
			return
		}
		ret, err = cmd.Run(s.set.ctx, &qapi.Call{Command: cmd, OOB: oob, Session: c}, args)
	}
	if oob || lockless[name] {
		body()
	} else {
		ran = s.set.exec(body)
	}
	return ret, ran && cmd.SuccessResponse, err
}

// checkMessage looks at the members of a message in QEMU's order, and returns
// the name of the command and whether it is to run out of band.
func checkMessage(m map[string]any, allowOOB bool) (name string, oob bool, err error) {
	seen := ""
	for _, k := range qjson.Keys(m) {
		switch {
		case k == "execute" || k == "exec-oob" && allowOOB:
			s, ok := m[k].(string)
			if !ok {
				return "", false, qapi.Errorf("QMP input member '%s' must be a string", k)
			}
			if seen != "" {
				return "", false, qapi.Errorf("QMP input member '%s' clashes with '%s'", k, seen)
			}
			seen, name = k, s
		case k == "arguments":
			if _, ok := m[k].(map[string]any); !ok {
				return "", false, qapi.Errorf("QMP input member 'arguments' must be an object")
			}
		case k == "id":
		default:
			return "", false, qapi.Errorf("QMP input member '%s' is unexpected", k)
		}
	}
	if seen == "" {
		return "", false, qapi.Errorf("QMP input lacks member 'execute'")
	}
	return name, seen == "exec-oob", nil
}
