// Package cli is the grammar of QEMU's command line: argv in, a typed and
// ordered [Config] out, with QEMU 8.2's error texts. It opens no file, makes no
// device and prints nothing; what it has to say is in Config.Messages and in
// the returned [*Error], and [Reporter] prints it the way QEMU does.
//
// QEMU reads its command line in stages, and which of two mistakes is reported
// depends on them. [Parse] keeps this order:
//
//  1. every option is looked up (`invalid option`, `requires an argument`);
//  2. each option's argument is parsed, from left to right; `-version`, `-help`,
//     `-machine help`, `-accel help`, `-object help` and `-smp help` end here;
//  3. -append and -initrd without -kernel;
//  4. -action, then -d;
//  5. `-cpu help` and `-device help`;
//  6. -m is merged into the machine's properties.
//
// What depends on more than the command line (machine, accelerator, chardevs,
// devices) is checked later, by the package that has it. For that every parsed
// option carries its [Loc], so that a later error still begins with the option
// as the user wrote it. The methods of Config and Machine that return errors
// ([Machine.LegacyOptions], [ParseSMP], [ParseMemory], [Config.DefaultDevices],
// [Config.AccelList], [MonitorOpt.Options]) are such later checks: pure, but to
// be called at the point where QEMU would.
//
// Three grammars exist side by side, as in QEMU:
//
//   - QemuOpts ([Opts], [OptsSpec]): a flat list, `,,` for a comma, short-form
//     booleans with a warning. -device -object -chardev -mon -m -name -accel
//     -global -action -msg.
//   - keyval ([ParseKeyval]): a tree from dotted keys, no short forms.
//     -machine -smp -display -audio.
//   - JSON in place of either, where the argument begins with '{': -device,
//     -object, -display.
//
// Nothing here panics on any input; the fuzz targets hold it to that.
package cli
