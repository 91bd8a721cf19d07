// Package char holds serial ports: the 16550A UART and the ISA port around
// it; and the debug console.
package char

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds the serial devices. Package isa's types are registered
// already.
func RegisterTypes(r *qom.Registry) {
	registerUART(r)
	registerISASerial(r)
	registerDebugConsole(r)
}
