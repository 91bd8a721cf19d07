package system

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptors is a session that holds some.
type descriptors map[string]int

func (d descriptors) TakeFD() (int, bool)       { return -1, false }
func (d descriptors) AddFD(name string, fd int) { d[name] = fd }
func (d descriptors) FD(name string) (int, bool) {
	fd, ok := d[name]
	delete(d, name)
	return fd, ok
}

// A device gets what getfd has named, once and from the client who asks, and of
// numbers only those that the process was started with.
func TestTakeFD(t *testing.T) {
	v := &VM{}
	var inherited, own [2]int
	if err := unix.Pipe2(inherited[:], 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Pipe2(own[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, fd := range append(inherited[:], own[:]...) {
			unix.Close(fd)
		}
	}()
	expect := func(name, want string) {
		t.Helper()
		fd, err := v.takeFD(name)
		if got := fmt.Sprint(fd, err); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
	number := func(fd int) string { return fmt.Sprint(fd) }
	expect("mine", "-1 Invalid file descriptor number 'mine'")
	v.caller = descriptors{"mine": own[0]}
	expect("yours", "-1 File descriptor named 'yours' has not been found")
	expect("", "-1 File descriptor named '' has not been found")
	expect("mine", number(own[0])+" <nil>")
	expect("mine", "-1 File descriptor named 'mine' has not been found")
	expect(number(own[0]), "-1 File descriptor "+number(own[0])+" is not valid or already in use")
	expect(number(inherited[0]), number(inherited[0])+" <nil>")
	expect(number(inherited[0]), "-1 File descriptor "+number(inherited[0])+" is not valid or already in use")
	expect("0", "-1 fd cannot be a standard I/O stream")
	expect("1000000", "-1 File descriptor 1000000 is not valid or already in use")
	expect("9x", "-1 Invalid file descriptor number '9x'")
	v.caller = nil
	expect(number(inherited[1]), number(inherited[1])+" <nil>")
}
