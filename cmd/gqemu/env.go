package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"strconv"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/errno"
)

// environment is what the command line's grammar asks of the outside.
func environment() cli.Env {
	return cli.Env{
		Package: packageVersion(), CheckFilename: checkFilename,
		ReadFile: readFile, Errno: errno.Text, LookupUser: lookupUser,
	}
}

// maxOptionFile bounds the files that options name, in bytes: a device such as
// /dev/zero has no end.
const maxOptionFile = 16 << 20

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxOptionFile+1))
	if err == nil && len(data) > maxOptionFile {
		err = fmt.Errorf("longer than %d bytes", maxOptionFile)
	}
	return data, err
}

func lookupUser(name string) (cli.User, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return cli.User{}, false
	}
	uid, err1 := strconv.Atoi(u.Uid)
	gid, err2 := strconv.Atoi(u.Gid)
	return cli.User{UID: uid, GID: gid}, err1 == nil && err2 == nil
}
