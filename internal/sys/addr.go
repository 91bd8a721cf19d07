// Package sys holds the process's unsafe dealings with the kernel: ioctls,
// eventfds, memory addresses. Everything above it is ordinary Go.
package sys

import "unsafe"

// Addr is the address of b's first byte, for handing to the kernel. b must
// not be Go-managed memory, unless it is kept alive and unmoved (mmapped
// memory is).
func Addr(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }
