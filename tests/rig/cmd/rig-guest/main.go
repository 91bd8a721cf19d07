// Command rig-guest is what the rig's guests run to load their devices and to
// look at what came of it. It is built without C and put into the initramfs
// with tools.
//
//	rig-guest write [flags] DIR   mixed writes into a file system; says what is safe
//	rig-guest verify [flags] DIR  hold the file system against what was said
//	rig-guest serve ADDR          take one TCP stream, send it back, say its sum
//	rig-guest send [flags] ADDR   send a TCP stream and compare what comes back
//	rig-guest io [flags] FILE     direct reads or writes, and how many a second
package main

import (
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Println("rig-guest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	verbs := map[string]func([]string) error{
		"write": writeVerb, "verify": verifyVerb, "serve": serveVerb, "send": sendVerb, "io": ioVerb,
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		return errors.New("want write, verify, serve, send or io")
	}
	return verbs[args[0]](args[1:])
}
