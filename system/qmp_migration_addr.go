package system

import (
	"strings"

	"github.com/gqemu/gqemu/qapi"
)

// MigrationChannel is one way to the other side.
type MigrationChannel struct {
	Type migrationChannelType `qapi:"channel-type"`
	Addr MigrationAddress     `qapi:"addr"`
}

type migrationChannelType string

func (migrationChannelType) QAPIName() string   { return "MigrationChannelType" }
func (migrationChannelType) QAPIEnum() []string { return []string{"main"} }

// MigrationAddress is where the other side is.
type MigrationAddress struct {
	Transport migrationAddressType  `qapi:"transport,discriminator"`
	Socket    *SocketAddress        `qapi:",case=socket"`
	Exec      *MigrationExecCommand `qapi:",case=exec"`
	RDMA      *InetSocketAddress    `qapi:",case=rdma"`
	File      *FileMigrationArgs    `qapi:",case=file"`
}

type migrationAddressType string

func (migrationAddressType) QAPIName() string   { return "MigrationAddressType" }
func (migrationAddressType) QAPIEnum() []string { return []string{"socket", "exec", "rdma", "file"} }

// MigrationExecCommand is a program that takes the stream.
type MigrationExecCommand struct {
	Args []string `qapi:"args"`
}

// FileMigrationArgs is a file that takes the stream, from an offset in bytes
// on.
type FileMigrationArgs struct {
	Filename string    `qapi:"filename"`
	Offset   qapi.Size `qapi:"offset"`
}

// checkMigrationTarget refuses what QEMU would not begin with.
func checkMigrationTarget(uri *string, channels []MigrationChannel) error {
	switch {
	case uri != nil && channels != nil:
		return qapi.Errorf("'uri' and 'channels' arguments are mutually exclusive; exactly one of the two should be present in 'migrate' qmp command ")
	case channels != nil && len(channels) != 1:
		return qapi.Errorf("Channel list has more than one entries")
	case channels != nil:
		return nil
	case uri == nil:
		return qapi.Errorf("neither 'uri' or 'channels' argument are specified in 'migrate' qmp command ")
	}
	for _, p := range []string{"exec:", "rdma:", "unix:", "vsock:", "fd:", "file:"} {
		if strings.HasPrefix(*uri, p) {
			return nil
		}
	}
	if rest, ok := strings.CutPrefix(*uri, "tcp:"); ok {
		if !strings.Contains(rest, ":") {
			return qapi.Errorf("error parsing address '%s'", rest)
		}
		return nil
	}
	return qapi.Errorf("unknown migration protocol: %s", *uri)
}
