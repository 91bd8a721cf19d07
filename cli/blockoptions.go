package cli

import (
	"slices"
	"strings"
)

// There are no block devices. These options are understood as far as it takes
// to tell a mistake from what is missing.

// DriveOpt is one -drive, or an older option that stands for one.
type DriveOpt struct {
	Loc  Loc
	Opts *Opts
	// File is the image, "" for none.
	File string
}

// drive makes the handler of an option that stands for a drive of a kind.
func drive(kind ...Opt) func(*parser, Option) error {
	return func(p *parser, o Option) error {
		opts, err := p.group(&driveSpec).create(o.Loc, "", false)
		if err != nil {
			return err
		}
		for _, e := range kind {
			opts.Set(e.Name, e.Value)
		}
		opts.Set("file", o.Arg)
		return nil
	}
}

var (
	driveBuses = []string{"none", "ide", "scsi", "floppy", "pflash", "mtd", "sd", "virtio", "xen"}
	// driveOwn are members of a drive that say nothing of its contents.
	driveOwn = []string{"if", "media", "index", "bus", "unit", "id", "file", "snapshot", "read-only", "readonly",
		"werror", "rerror", "copy-on-read", "detect-zeroes", "format", "aio", "discard", "node-name", "force-share",
		"auto-read-only", "stats-account-invalid", "stats-account-failed"}
)

// Check tells what is wrong with a drive. A nil error with File set means that
// an image is wanted.
func (d *DriveOpt) Check() error {
	if bus, ok := d.Opts.Get("if"); ok && !slices.Contains(driveBuses, bus) {
		return errf("unsupported bus type '%s'", bus)
	}
	if media, ok := d.Opts.Get("media"); ok && media != "disk" && media != "cdrom" {
		return errf("'%s' invalid media", media)
	}
	file, _ := d.Opts.Get("file")
	if driver, _ := d.Opts.Get("driver"); file == "" && driver == "" {
		for _, n := range d.Opts.Names() {
			if !slices.Contains(driveOwn, n) && !strings.HasPrefix(n, "cache") && !strings.HasPrefix(n, "throttling.") {
				return errf("Must specify either driver or file")
			}
		}
	}
	d.File = file
	return nil
}

var blockDrivers = []string{"blkdebug", "blklogwrites", "blkreplay", "blkverify", "bochs", "cloop", "compress",
	"copy-before-write", "copy-on-read", "dmg", "file", "snapshot-access", "ftp", "ftps", "gluster", "host_cdrom",
	"host_device", "http", "https", "iscsi", "luks", "nbd", "nfs", "null-aio", "null-co", "nvme", "parallels",
	"preallocate", "qcow", "qcow2", "qed", "quorum", "raw", "rbd", "replication", "ssh", "throttle", "vdi", "vhdx",
	"vmdk", "vpc", "vvfat"}

func (p *parser) blockdev(o Option) error {
	var d treeDialect
	var err error
	if strings.HasPrefix(o.Arg, "{") {
		d.m, err = parseJSONObject(o.Arg)
	} else {
		d.keyval = true
		d.m, _, err = ParseKeyval(o.Arg, "driver")
	}
	if err != nil {
		return err
	}
	driver := Member{Name: "driver", Kind: KindEnum, Enum: blockDrivers}
	if !d.has("driver") {
		return errMissing("driver")
	}
	if _, err := visitMember(d, &driver); err != nil {
		return err
	}
	return errf("%s", lacks("block devices"))
}

func (p *parser) fsdev(o Option) error {
	opts, err := p.parseOpts(p.group(&fsdevSpec), o.Arg, true)
	switch {
	case err != nil:
		return err
	case !opts.HasID:
		return errf("fsdev: No id specified")
	}
	return errf("%s", lacks("file system devices"))
}

func (p *parser) virtfs(o Option) error {
	opts, err := p.parseOpts(p.group(&virtfsSpec), o.Arg, true)
	if err != nil {
		return err
	}
	_, driver := opts.Get("fsdriver")
	_, tag := opts.Get("mount_tag")
	if !driver || !tag {
		return errf("Usage: -virtfs fsdriver,mount_tag=tag")
	}
	return errf("%s", lacks("file system devices"))
}

func (p *parser) tpmdev(o Option) error {
	if IsHelp(o.Arg) {
		return &Error{Messages: []Message{{Verbatim: true, Text: "Supported TPM types (choose only one):"}}, Code: 1}
	}
	opts, err := p.parseOpts(p.group(&tpmdevSpec), o.Arg, true)
	switch {
	case err != nil:
		return err
	case !opts.HasID:
		return errMissing("id")
	}
	return errf("%s", lacks("TPM devices"))
}
