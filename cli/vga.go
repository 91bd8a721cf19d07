package cli

import (
	"fmt"
	"strings"
)

// vgaTypes are the video cards QEMU knows by name. -vga matches prefixes, in
// this order.
var vgaTypes = []struct{ option, name string }{
	{"none", "no graphic card"},
	{"std", "standard VGA"},
	{"cirrus", "Cirrus VGA"},
	{"vmware", "VMWare SVGA"},
	{"qxl", "QXL VGA"},
	{"tcx", "TCX framebuffer"},
	{"cg3", "CG3 framebuffer"},
	{"virtio", "Virtio VGA"},
}

// VGAHelp is what -vga help prints; byDefault is the machine's own card, "" for
// none.
func VGAHelp(byDefault string) string {
	var b strings.Builder
	for _, t := range vgaTypes {
		if t.option == "tcx" || t.option == "cg3" || t.option == "qxl" {
			continue // of other machines, or of Spice
		}
		suffix := ""
		if t.option == byDefault {
			suffix = " (default)"
		}
		fmt.Fprintf(&b, "%-20s %s%s\n", t.option, t.name, suffix)
	}
	return b.String()
}

// UnusedVGAWarning is QEMU's warning, after the machine is made, for a -vga
// other than none on a machine without a place for it.
const UnusedVGAWarning = "A -vga option was passed but this machine type does not use that option; " +
	"No VGA device has been created"

// CheckVGA resolves the argument of -vga to a card's name; available says which
// cards exist. To be called when default devices are created.
func CheckVGA(arg string, available func(name string) bool) (string, error) {
	for _, t := range vgaTypes {
		rest, ok := strings.CutPrefix(arg, t.option)
		if !ok {
			continue
		}
		if t.option != "none" && !available(t.option) {
			return "", errf("%s not available", t.name)
		}
		for rest != "" {
			if rest, ok = strings.CutPrefix(rest, ",retrace="); ok {
				var dumb, precise bool
				if rest, dumb = strings.CutPrefix(rest, "dumb"); !dumb {
					rest, precise = strings.CutPrefix(rest, "precise")
				}
				ok = dumb || precise
			}
			if !ok {
				return "", errf("unknown vga type: %s", arg)
			}
		}
		return t.option, nil
	}
	return "", errf("unknown vga type: %s", arg)
}
