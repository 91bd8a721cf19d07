package system

import (
	"fmt"
	"strings"

	"github.com/gqemu/gqemu/monitor/hmp"
)

func (h *human) infoVirtio(c *hmp.Call) error {
	r, err := h.qmp(c, "x-query-virtio", nil)
	if err != nil {
		return err
	}
	devices := list(r)
	if len(devices) == 0 {
		return fmt.Errorf("No virtio devices found")
	}
	for _, d := range devices {
		c.Printf("%v [%v]\n", member(d, "path"), member(d, "name"))
	}
	return nil
}

// row is a line of a listing: its label, with what stands before the value,
// the member that it shows, and how.
type row struct{ label, member, format string }

// rows prints those whose member is there.
func rows(c *hmp.Call, v any, table []row) {
	for _, r := range table {
		if val := member(v, r.member); val != nil {
			c.Printf(r.label+r.format+"\n", val)
		}
	}
}

var virtioStatusRows = []row{
	{"  device_id:               ", "device-id", "%d"},
	{"  vhost_started:           ", "vhost-started", "%t"},
	{"  bus_name:                ", "bus-name", "%s"},
	{"  broken:                  ", "broken", "%t"},
	{"  disabled:                ", "disabled", "%t"},
	{"  disable_legacy_check:    ", "disable-legacy-check", "%t"},
	{"  started:                 ", "started", "%t"},
	{"  use_started:             ", "use-started", "%t"},
	{"  start_on_kick:           ", "start-on-kick", "%t"},
	{"  use_guest_notifier_mask: ", "use-guest-notifier-mask", "%t"},
	{"  vm_running:              ", "vm-running", "%t"},
	{"  num_vqs:                 ", "num-vqs", "%d"},
	{"  queue_sel:               ", "queue-sel", "%d"},
	{"  isr:                     ", "isr", "%d"},
	{"  endianness:              ", "device-endian", "%s"},
}

var vhostRows = []row{
	{"    nvqs:           ", "nvqs", "%d"},
	{"    vq_index:       ", "vq-index", "%d"},
	{"    max_queues:     ", "max-queues", "%d"},
	{"    n_mem_sections: ", "n-mem-sections", "%d"},
	{"    n_tmp_sections: ", "n-tmp-sections", "%d"},
	{"    backend_cap:    ", "backend-cap", "%d"},
	{"    log_enabled:    ", "log-enabled", "%t"},
	{"    log_size:       ", "log-size", "%d"},
}

func (h *human) infoVirtioStatus(c *hmp.Call) error {
	r, err := h.qmp(c, "x-query-virtio-status", c.Args)
	if err != nil {
		return err
	}
	vhost, kind := member(r, "vhost-dev"), ""
	if vhost != nil {
		kind = "(vhost)"
	}
	c.Printf("%s:\n  device_name:             %v %s\n", c.Args.Str("path"), member(r, "name"), kind)
	if name, _ := member(r, "bus-name").(string); name == "" {
		// C's way to print a string that is not there.
		rows(c, r, virtioStatusRows[:2])
		c.Print("  bus_name:                (null)\n")
		rows(c, r, virtioStatusRows[3:])
	} else {
		rows(c, r, virtioStatusRows)
	}
	c.Print("  status:\n")
	texts(c, member(r, "status"), "statuses", "unknown-statuses")
	features := func(title string, f any) {
		c.Print(title + "\n")
		lines(c, stringsOf(member(f, "transports")))
		if device := stringsOf(member(f, "dev-features")); len(device) > 0 {
			lines(c, device)
		}
		if u := member(f, "unknown-dev-features"); u != nil {
			c.Printf("  unknown-features(0x%016x)\n", u)
		}
	}
	features("  Guest features:", member(r, "guest-features"))
	features("  Host features:", member(r, "host-features"))
	features("  Backend features:", member(r, "backend-features"))
	if vhost != nil {
		c.Print("  VHost:\n")
		rows(c, vhost, vhostRows)
		features("    Features:", member(vhost, "features"))
		features("    Acked features:", member(vhost, "acked-features"))
		features("    Backend features:", member(vhost, "backend-features"))
		c.Print("    Protocol features:\n")
		texts(c, member(vhost, "protocol-features"), "protocols", "unknown-protocols")
	}
	return nil
}

// lines prints texts, one to a line with commas between.
func lines(c *hmp.Call, texts []string) {
	for i, t := range texts {
		texts[i] = "\t" + t
	}
	c.Print(strings.Join(texts, ",\n") + "\n")
}

// texts prints a list of texts with the bits that have none.
func texts(c *hmp.Call, v any, name, unknown string) {
	lines(c, stringsOf(member(v, name)))
	if u := member(v, unknown); u != nil {
		c.Printf("  %s(0x%016x)\n", unknown, u)
	}
}

func (h *human) infoVirtioQueue(c *hmp.Call) error {
	r, err := h.qmp(c, "x-query-virtio-queue-status", c.Args)
	if err != nil {
		return err
	}
	c.Printf("%s:\n", c.Args.Str("path"))
	rows(c, r, []row{
		{"  device_name:          ", "name", "%s"},
		{"  queue_index:          ", "queue-index", "%d"},
		{"  inuse:                ", "inuse", "%d"},
		{"  used_idx:             ", "used-idx", "%d"},
		{"  signalled_used:       ", "signalled-used", "%d"},
		{"  signalled_used_valid: ", "signalled-used-valid", "%t"},
		{"  last_avail_idx:       ", "last-avail-idx", "%d"},
		{"  shadow_avail_idx:     ", "shadow-avail-idx", "%d"},
	})
	c.Print("  VRing:\n")
	rows(c, r, []row{
		{"    num:          ", "vring-num", "%d"},
		{"    num_default:  ", "vring-num-default", "%d"},
		{"    align:        ", "vring-align", "%d"},
		{"    desc:         ", "vring-desc", "0x%016x"},
		{"    avail:        ", "vring-avail", "0x%016x"},
		{"    used:         ", "vring-used", "0x%016x"},
	})
	return nil
}

func (h *human) infoVirtioVhostQueue(c *hmp.Call) error {
	r, err := h.qmp(c, "x-query-virtio-vhost-queue-status", c.Args)
	if err != nil {
		return err
	}
	c.Printf("%s:\n", c.Args.Str("path"))
	rows(c, r, []row{
		{"  device_name:          ", "name", "%s (vhost)"},
		{"  kick:                 ", "kick", "%d"},
		{"  call:                 ", "call", "%d"},
	})
	c.Print("  VRing:\n")
	rows(c, r, []row{
		{"    num:         ", "num", "%d"},
		{"    desc:        ", "desc", "0x%016x"},
		{"    desc_phys:   ", "desc-phys", "0x%016x"},
		{"    desc_size:   ", "desc-size", "%d"},
		{"    avail:       ", "avail", "0x%016x"},
		{"    avail_phys:  ", "avail-phys", "0x%016x"},
		{"    avail_size:  ", "avail-size", "%d"},
		{"    used:        ", "used", "0x%016x"},
		{"    used_phys:   ", "used-phys", "0x%016x"},
		{"    used_size:   ", "used-size", "%d"},
	})
	return nil
}

func (h *human) infoVirtioElement(c *hmp.Call) error {
	r, err := h.qmp(c, "x-query-virtio-queue-element", c.Args)
	if err != nil {
		return err
	}
	c.Printf("%s:\n  device_name: %v\n  index:   %v\n  desc:\n    descs:\n",
		c.Args.Str("path"), member(r, "name"), member(r, "index"))
	var descs []string
	for _, d := range list(member(r, "descs")) {
		text := fmt.Sprintf("        addr 0x%x len %d", member(d, "addr"), member(d, "len"))
		if flags := stringsOf(member(d, "flags")); len(flags) > 0 {
			text += " (" + strings.Join(flags, ", ") + ")"
		}
		descs = append(descs, text)
	}
	c.Print(strings.Join(descs, ",\n") + "\n")
	avail, used := member(r, "avail"), member(r, "used")
	c.Printf("  avail:\n    flags: %v\n    idx:   %v\n    ring:  %v\n",
		member(avail, "flags"), member(avail, "idx"), member(avail, "ring"))
	c.Printf("  used:\n    flags: %v\n    idx:   %v\n", member(used, "flags"), member(used, "idx"))
	return nil
}
