package system

import "github.com/gqemu/gqemu/qapi"

// ChardevInfo is one entry of query-chardev.
type ChardevInfo struct {
	Label        string `qapi:"label"`
	Filename     string `qapi:"filename"`
	FrontendOpen bool   `qapi:"frontend-open"`
}

// QAPIName is the name of the type in the QMP schema.
func (ChardevInfo) QAPIName() string { return "ChardevInfo" }

// registerChar adds commands of QAPI module char.
func (v *VM) registerChar() {
	register(v, "query-chardev", func(none) ([]ChardevInfo, error) {
		out := []ChardevInfo{}
		for _, c := range v.chardevs.List() {
			out = append(out, ChardevInfo{Label: c.ID(), Filename: c.Filename(), FrontendOpen: c.FrontendOpen()})
		}
		return out, nil
	}, qapi.AllowPreconfig())
}
