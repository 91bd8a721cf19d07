package machine

import (
	"fmt"
	"slices"

	"github.com/gqemu/gqemu/qom"
)

// BootConfig is what -boot says, the machine property "boot". A nil member was
// not given.
type BootConfig struct {
	// Order are the devices to boot from, one letter each, as in "cad"; the
	// machine's default when not given. Once is the order for the first
	// boot only.
	Order, Once   *string
	Menu          *bool
	Splash        *string // file of the boot splash picture
	SplashTime    *int64  // milliseconds
	RebootTimeout *int64  // milliseconds; -1 never reboots
	Strict        *bool   // boot from what has a boot index only
	defaultOrder  string
}

// BootOrder is the order to boot in after the first time.
func (b *BootConfig) BootOrder() string {
	if b.Order != nil {
		return *b.Order
	}
	return b.defaultOrder
}

// CheckBootDevices tells whether letters are well-formed as a boot order: 'a'
// to 'p', each once. Which of them a machine has is its own affair.
func CheckBootDevices(letters string) error {
	var seen [256]bool
	for i := 0; i < len(letters); i++ {
		c := letters[i]
		if c < 'a' || c > 'p' {
			return fmt.Errorf("Invalid boot device '%c'", c)
		}
		if seen[c] {
			return fmt.Errorf("Boot device '%c' was given twice", c)
		}
		seen[c] = true
	}
	return nil
}

// bootMembers are the members of QEMU's BootConfiguration.
var bootMembers = []string{"order", "once", "menu", "splash", "splash-time", "reboot-timeout", "strict"}

// parseBoot reads a BootConfiguration.
func parseBoot(v qom.Value) (BootConfig, error) {
	var b BootConfig
	dict, err := v.Dict("boot")
	if err != nil {
		return b, err
	}
	str := func(name string, to **string) {
		if x, ok := dict[name]; ok && err == nil {
			var s string
			s, err = v.With(x).Str("boot." + name)
			*to = &s
		}
	}
	boolean := func(name string, to **bool) {
		if x, ok := dict[name]; ok && err == nil {
			var on bool
			on, err = v.With(x).Bool("boot." + name)
			*to = &on
		}
	}
	integer := func(name string, to **int64) {
		if x, ok := dict[name]; ok && err == nil {
			var n int64
			n, err = v.With(x).Int("boot."+name, 64)
			*to = &n
		}
	}
	str("order", &b.Order)
	str("once", &b.Once)
	boolean("menu", &b.Menu)
	str("splash", &b.Splash)
	integer("splash-time", &b.SplashTime)
	integer("reboot-timeout", &b.RebootTimeout)
	boolean("strict", &b.Strict)
	if err != nil {
		return b, err
	}
	for _, name := range sortedKeys(dict) {
		if !slices.Contains(bootMembers, name) {
			return b, fmt.Errorf("Parameter 'boot.%s' is unexpected", name)
		}
	}
	for _, order := range []*string{b.Order, b.Once} {
		if order != nil {
			if err := CheckBootDevices(*order); err != nil {
				return b, err
			}
		}
	}
	return b, nil
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// value is the configuration as qom-get shows it.
func (b *BootConfig) value() map[string]any {
	m := map[string]any{}
	if b.Order != nil || b.defaultOrder != "" {
		m["order"] = b.BootOrder()
	}
	if b.Once != nil {
		m["once"] = *b.Once
	}
	if b.Menu != nil {
		m["menu"] = *b.Menu
	}
	if b.Splash != nil {
		m["splash"] = *b.Splash
	}
	if b.SplashTime != nil {
		m["splash-time"] = *b.SplashTime
	}
	if b.RebootTimeout != nil {
		m["reboot-timeout"] = *b.RebootTimeout
	}
	if b.Strict != nil {
		m["strict"] = *b.Strict
	}
	return m
}

func bootProperty() *qom.Property {
	return &qom.Property{
		Name: "boot", Type: "BootConfiguration", Description: "Boot configuration",
		Get: func(o qom.Object) (any, error) {
			s := o.(Machine).Common()
			return s.bootConfig().value(), nil
		},
		Set: func(o qom.Object, v qom.Value) error {
			b, err := parseBoot(v)
			if err == nil {
				o.(Machine).Common().Boot = b
			}
			return err
		},
	}
}

// bootConfig is the configuration with the machine type's default order.
func (s *State) bootConfig() *BootConfig {
	s.Boot.defaultOrder = s.Type().ClassData().(*Class).BootOrder
	return &s.Boot
}

// BootOrder is the order to boot in, the machine type's own unless -boot says
// otherwise.
func (s *State) BootOrder() string { return s.bootConfig().BootOrder() }
