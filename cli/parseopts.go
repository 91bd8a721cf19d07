package cli

// ParseOpts parses text in QemuOpts form, as the option group of that name
// would on the command line, for what comes while the VM runs. warn is called
// for each short-form boolean.
func ParseOpts(group, text string, warn func(text, hint string)) (*Opts, error) {
	spec := &OptsSpec{Name: group}
	for _, s := range optGroups {
		if s.Name == group {
			spec = s
		}
	}
	g := &optsGroup{OptsSpec: spec}
	o, help, err := g.parse(Loc{}, text, true, warn)
	if help {
		// The list of sub-options is for the command line.
		return &Opts{list: []Opt{{Name: "help", Value: "on"}}}, nil
	}
	return o, err
}

// ParseObject parses what object_add of the human monitor takes: keyval syntax
// with the type first. known are the types that may be made; nil is
// [DefaultObjectTypes]. help is true, and o then has no more than the type,
// where the list of types or of a type's properties was asked for.
func ParseObject(text string, known ObjectTypes) (o *ObjectOpt, help bool, err error) {
	if known == nil {
		known = DefaultObjectTypes()
	}
	tree, help, err := ParseKeyval(text, "qom-type")
	if err != nil {
		return nil, false, err
	}
	o = &ObjectOpt{}
	o.Type, _ = tree["qom-type"].(string)
	if IsHelp(o.Type) {
		return &ObjectOpt{}, true, nil
	}
	if help {
		return o, true, nil
	}
	o.Type, o.ID, o.Props, err = known.check(treeDialect{m: tree, keyval: true})
	return o, false, err
}
