package system

import (
	"fmt"
	"os"
	"syscall"
)

// signalText says why the process ends. QEMU adds the sender's pid, which Go's
// os/signal does not tell.
func signalText(s os.Signal) string {
	if n, ok := s.(syscall.Signal); ok {
		return fmt.Sprintf("terminating on signal %d", int(n))
	}
	return fmt.Sprintf("terminating on signal %s", s)
}
