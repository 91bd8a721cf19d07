package cli

import (
	"slices"
	"strconv"
)

var acpiMembers = slices.Concat(optional(KindString, "sig"), optional(KindUint32, "rev"),
	optional(KindString, "oem_id", "oem_table_id"), optional(KindUint32, "oem_rev"),
	optional(KindString, "asl_compiler_id"), optional(KindUint32, "asl_compiler_rev"),
	optional(KindString, "file", "data"))

// acpitable is -acpitable. The tables that a guest sees are the machine's own.
func (p *parser) acpitable(o Option) error {
	opts, err := p.parseOpts(p.group(&acpiSpec), o.Arg, true)
	if err != nil {
		return err
	}
	v, err := visit(optsDialect{opts}, acpiMembers)
	if err != nil {
		return err
	}
	file, isFile := v["file"].(string)
	data, isData := v["data"].(string)
	if isFile == isData {
		return errf("'-acpitable' requires one of 'data' or 'file'")
	}
	if isData {
		file = data
	}
	if p.env.ReadFile != nil {
		if _, err := p.env.ReadFile(file); err != nil {
			return errf("can't open file %s: %s", file, p.env.errno(err))
		}
	}
	return errf("ACPI tables of the user's own are not supported")
}

// smbiosFields are the members of -smbios type=N.
var smbiosFields = map[uint64][]OptDesc{
	0:  {str("vendor", ""), str("version", ""), str("date", ""), str("release", ""), boolean("uefi")},
	1:  {str("manufacturer", ""), str("product", ""), str("version", ""), str("serial", ""), str("uuid", ""), str("sku", ""), str("family", "")},
	2:  {str("manufacturer", ""), str("product", ""), str("version", ""), str("serial", ""), str("asset", ""), str("location", "")},
	3:  {str("manufacturer", ""), str("version", ""), str("serial", ""), str("asset", ""), str("sku", "")},
	4:  {str("sock_pfx", ""), str("manufacturer", ""), str("version", ""), str("serial", ""), str("asset", ""), str("part", ""), number("max-speed"), number("current-speed"), number("processor-id")},
	8:  {str("internal_reference", ""), str("external_reference", ""), number("connector_type"), number("port_type")},
	11: {str("value", ""), str("path", "")},
	17: {str("loc_pfx", ""), str("bank", ""), str("manufacturer", ""), str("serial", ""), str("asset", ""), str("part", ""), number("speed")},
	41: {str("designation", ""), str("kind", ""), number("instance"), str("pcidev", "")},
}

// smbiosHeader is the least that a binary file of -smbios holds, in bytes.
const smbiosHeader = 4

// smbios is -smbios. It is checked and has no effect: SMBIOS tables are for
// firmware to hand on.
func (p *parser) smbios(o Option) error {
	opts, err := p.parseOpts(p.group(&smbiosSpec), o.Arg, false)
	if err != nil {
		return err
	}
	validate := func(fields []OptDesc) error {
		spec := OptsSpec{Name: "smbios", Desc: fields}
		for _, e := range opts.List() {
			if err := spec.check(e); err != nil {
				return err
			}
		}
		return nil
	}
	if file, ok := opts.Get("file"); ok {
		if err := validate([]OptDesc{str("file", "")}); err != nil {
			return err
		}
		if p.env.ReadFile != nil {
			if data, err := p.env.ReadFile(file); err != nil || len(data) < smbiosHeader {
				return errf("Cannot read SMBIOS file %s", file)
			}
		}
		return nil
	}
	typ, ok := opts.Get("type")
	if !ok {
		return errf("Must specify type= or file=")
	}
	n := scanUint(typ, 0) // strtoul: what follows is not looked at
	switch fields, known := smbiosFields[n.value]; {
	case n.value > 127:
		return errf("out of range!")
	case !known:
		return errf("Don't know how to build fields for SMBIOS type %s", strconv.FormatUint(n.value, 10))
	default:
		return validate(append([]OptDesc{str("type", "")}, fields...))
	}
}
