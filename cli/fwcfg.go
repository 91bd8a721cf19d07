package cli

// FwCfg is one -fw_cfg, checked.
type FwCfg struct {
	Name string
	// Exactly one of these is given.
	File, String, GenID *string
	// Warning is QEMU's for names that are not the user's, "" for none.
	Warning string
}

// fwCfgName bounds the name of a file in fw_cfg, with the NUL behind it.
const fwCfgName = 56

// FwCfg checks one -fw_cfg. To be called once the machine is made.
func (o *FwCfgOpt) FwCfg() (FwCfg, error) {
	f := FwCfg{}
	name, _ := o.Opts.Get("name")
	given := 0
	for key, to := range map[string]**string{"file": &f.File, "string": &f.String, "gen_id": &f.GenID} {
		if v, ok := o.Opts.Get(key); ok {
			if v != "" {
				*to = &v
				given++
			}
		}
	}
	switch {
	case name == "" || given != 1:
		return f, errf("name, plus exactly one of file, string and gen_id, are needed")
	case len(name) > fwCfgName-1:
		return f, errf("name too long (max. %d char)", fwCfgName-1)
	}
	if f.GenID == nil && (len(name) < 4 || name[:4] != "opt/") {
		f.Warning = "externally provided fw_cfg item names should be prefixed with \"opt/\""
	}
	f.Name = name
	return f, nil
}
