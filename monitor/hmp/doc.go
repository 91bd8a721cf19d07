// Package hmp is the language of the human monitor: its command lines, the
// formats in which commands declare their arguments, expressions with
// registers, the help texts made of the declarations, and the completion of a
// line that is being typed. It knows no command itself; a [Shell] is given
// them.
//
// # Argument formats
//
// [Command].Args lists the arguments as "name:type", separated by commas, in
// the notation of QEMU's command tables:
//
//	s    a word, or text in double quotes
//	F    a word that is the name of a file
//	S    the rest of the line
//	O    options in QemuOpts form; the name is that of the option list
//	i l  an expression of 32 or 64 bits
//	M    an expression in MiB
//	o    a size, in MiB where it has no suffix
//	b    on or off
//	/    a format as in gdb: /fmt, see [Format]
//	-x   the flag -x; with s after it, one that takes a word
//
// A '?' after s, S, F, i, l, M or o makes the argument optional, and a '.'
// after i or l one that a dot has to precede.
package hmp
