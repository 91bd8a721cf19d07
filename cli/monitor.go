package cli

import "strconv"

// MonitorOptions is a monitor's options, checked.
type MonitorOptions struct {
	ID      string // "" for none
	Chardev string // label of its chardev
	Control bool   // QMP rather than HMP
	Pretty  bool   // indented JSON
}

var monitorMembers = []Member{
	{Name: "id", Kind: KindString, Optional: true},
	{Name: "mode", Kind: KindEnum, Optional: true, Enum: []string{"readline", "control"}},
	{Name: "pretty", Kind: KindBool, Optional: true},
	{Name: "chardev", Kind: KindString},
}

// Options checks a monitor's options. To be called when the monitors are made,
// after the chardevs; report an error at m.Loc.
func (m *MonitorOpt) Options() (MonitorOptions, error) {
	p, err := visit(optsDialect{m.Opts}, monitorMembers)
	if err != nil {
		return MonitorOptions{}, err
	}
	var o MonitorOptions
	o.ID, _ = p["id"].(string)
	o.Chardev, _ = p["chardev"].(string)
	o.Pretty, _ = p["pretty"].(bool)
	o.Control = p["mode"] == "control"
	return o, nil
}

// ErrPrettyHMP is QEMU's refusal of pretty=on for a monitor in mode readline,
// made after its chardev is found.
func ErrPrettyHMP() error { return errf("'pretty' is not compatible with HMP monitors") }

// compatLabel is the label of the n-th monitor made by -qmp, -qmp-pretty or
// -monitor, counted from 0.
func compatLabel(n int) string { return "compat_monitor" + strconv.Itoa(n) }
