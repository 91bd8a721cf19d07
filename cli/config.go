package cli

// Config is a command line, understood. Slices are in the order in which QEMU
// acts on them.
type Config struct {
	// Prog is the base name of argv[0], with which messages begin.
	Prog string
	// Options are all options in order, as given.
	Options []Option
	// Messages are the warnings (and non-fatal errors) to be printed before
	// anything else happens, even if Parse returned an error.
	Messages []Message
	// Output is to be printed to standard output.
	Output string
	// Help lists the requests for help that end the program; see [HelpRequest].
	Help []HelpRequest

	Machine Machine
	Accels  []AccelOpt // -accel only; -machine accel= is in Machine

	// CPU is the argument of -cpu, which HasCPU says was there; see [SplitCPU].
	CPU    string
	HasCPU bool

	Kernel, Initrd, Append, Firmware string // "" if absent; also in Machine.Props

	// Devices are first those in QemuOpts form, then those in JSON: QEMU
	// creates them in that order.
	Devices  []DeviceOpt
	Globals  []Global
	Objects  []ObjectOpt
	Chardevs []ChardevOpt // -chardev and what -qmp, -qmp-pretty and -monitor imply
	Monitors []MonitorOpt
	Serials  []SerialOpt

	AddFDs   []AddFD // -add-fd
	Drives   []DriveOpt
	Networks []NetOpt
	NUMA     []NUMAOpt
	FwCfgs   []FwCfgOpt
	// Parallels are like Serials, for -parallel.
	Parallels  []SerialOpt
	Debugcons  []SerialOpt // the chardev "debugcon"; the device is in Devices
	USBDevices []USBDeviceOpt
	OptionROMs []string // files
	GDB        []SerialOpt

	Sandbox        Sandbox
	RunAs          *RunAs // nil to stay who one is
	Chroot         string // root directory, if HasChroot
	HasChroot      bool
	MemLock        bool // all memory stays in RAM
	CPUPM          bool // the guest may idle the host's CPUs
	OnlyMigratable bool
	Preconfig      bool
	MemPath        string // directory or file behind -m, "" for none
	MemPrealloc    bool
	NoFDBootCheck  bool
	EscapeChar     *byte // of multiplexers, nil for the default
	LoadVM         string
	HasLoadVM      bool
	Incoming       string // where the guest comes from, if HasIncoming
	HasIncoming    bool

	rtc, icount *Opts

	Name    Name
	UUID    [16]byte
	HasUUID bool

	Paused       bool // -S
	Action       Action
	NoDefaults   bool
	NoUserConfig bool
	Nographic    bool
	Display      string // "none", or "" if there was no -display
	OpenGL       bool   // -display gl=, which nothing here has
	VGA          string // argument of -vga, which HasVGA says was there
	HasVGA       bool
	Pidfile      string
	Daemonize    bool
	Msg          Msg
	Log          Log
	Qtest        string // chardev of the qtest server, "" for none
	QtestLog     string // file for its log; HasQtestLog tells "" from absent
	HasQtestLog  bool

	noDefaultMonitor bool // some option made a monitor, or asked for none
	compatMonitors   int  // how many -qmp, -qmp-pretty and -monitor there were
}

// Machine is -machine with everything that QEMU merges into it: -kernel,
// -initrd, -append, -bios, -nographic, -smp and -m.
type Machine struct {
	// Type is the name asked for; HasType is false if there was none, and the
	// default machine is meant.
	Type    string
	HasType bool
	// Props is a tree as [ParseKeyval] makes it, without the type. "smp" and
	// "memory" are for [ParseSMP] and [ParseMemory]; "memory" is always there.
	// Set them in the order of qjson.Keys, as QEMU does.
	Props map[string]any
}

// AccelOpt is one accelerator to try.
type AccelOpt struct {
	Loc  Loc
	Name string
	// Props are the other sub-options, in order.
	Props []Opt
}

// DeviceOpt is one -device.
type DeviceOpt struct {
	Loc Loc
	// Opts is the QemuOpts form; nil for JSON.
	Opts *Opts
	// JSON is the JSON form; nil for QemuOpts.
	JSON map[string]any
}

// IsJSON reports which form the device was given in. In JSON, property values
// have their type; otherwise all are strings.
func (d *DeviceOpt) IsJSON() bool { return d.JSON != nil }

// Dict returns all of the device's arguments, `driver` and `id` included, by
// name. For JSON it is the map itself. Walk it with qjson.Keys to set
// properties in QEMU's order.
func (d *DeviceOpt) Dict() map[string]any {
	if d.IsJSON() {
		return d.JSON
	}
	return d.Opts.Dict()
}

// Driver returns the device's type; ok is false if none was named, which is an
// error for whoever creates it (`Parameter 'driver' is missing`).
func (d *DeviceOpt) Driver() (name string, ok bool) {
	name, ok = d.Dict()["driver"].(string)
	return name, ok
}

// Global is one -global.
type Global struct {
	Loc                     Loc
	Driver, Property, Value string
}

// ObjectOpt is one -object, already checked against its type's members. Props
// are typed: bool, int64, uint64, string or []uint64.
type ObjectOpt struct {
	Loc    Loc
	Type   string
	ID     string
	Props  map[string]any
	IsJSON bool
}

// ChardevOpt is one character device to create.
type ChardevOpt struct {
	Loc   Loc
	ID    string // label
	HasID bool   // false is an error for whoever creates it
	// Opts is the argument of -chardev; nil for the compatibility syntax. The
	// id is apart; see [Opts.WithID].
	Opts *Opts
	// Filename is the compatibility syntax (`unix:path,server=on`, `stdio`,
	// `mon:stdio`) of -qmp, -qmp-pretty and -monitor.
	Filename string
}

// MonitorOpt is one monitor, from -mon, -qmp, -qmp-pretty or -monitor.
type MonitorOpt struct {
	Loc  Loc
	Opts *Opts
}

// SerialOpt is one -serial in the compatibility syntax, which includes `none`
// and `chardev:ID`. Its label is serialN, N counting those that are not `none`.
type SerialOpt struct {
	Loc      Loc
	Filename string
}

// AddFD is one -add-fd.
type AddFD struct {
	Loc     Loc
	FD, Set int     // -1 where absent
	Opaque  *string // nil where absent
}

// FwCfgOpt is one -fw_cfg; see [FwCfgOpt.FwCfg].
type FwCfgOpt struct {
	Loc  Loc
	Opts *Opts
}

// USBDeviceOpt is one -usbdevice.
type USBDeviceOpt struct {
	Loc  Loc
	Name string
}

// Name is -name.
type Name struct {
	Guest        string // "" if absent
	Process      string // "" if absent
	DebugThreads bool
}

// Msg is -msg.
type Msg struct {
	Timestamp bool
	GuestName bool
}

// Log is -d and -D.
type Log struct {
	Items []string // names from QEMU's list; empty if -d is absent
	Trace []string // patterns of -trace and of trace:PATTERN items
	// TraceFile is where traces go, "" for the log.
	TraceFile string
	File      string // "" for standard error
}

// HelpRequest is a question on the command line that only the program's
// registries can answer. The answer goes to standard output and the program
// exits with status 0.
//
//	Topic     Arg
//	"machine" the machine type whose properties are wanted, or "" for the list.
//	          An unknown type also means the list.
//	"accel"   ""
//	"object"  a type, or "" for the list
//	"cpu"     ""
//	"device"  a driver, or "" for the list. An unknown one is an error at Loc
//	          (`Device 'X' not found`), still with status 0.
//	"trace"   ""
//
// `-chardev help` is not among them: QEMU answers it when the chardevs are
// created, after the machine.
type HelpRequest struct {
	Topic string
	Arg   string
	Loc   Loc
}
