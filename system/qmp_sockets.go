package system

// SocketAddress says where a socket is.
type SocketAddress struct {
	Type  socketAddressType   `qapi:"type,discriminator"`
	Inet  *InetSocketAddress  `qapi:",case=inet"`
	Unix  *UnixSocketAddress  `qapi:",case=unix"`
	Vsock *VsockSocketAddress `qapi:",case=vsock"`
	FD    *FdSocketAddress    `qapi:",case=fd"`
}

// SocketAddressLegacy is SocketAddress as older commands have it: the members
// of each kind are one level down.
type SocketAddressLegacy struct {
	Type  socketAddressType          `qapi:"type,discriminator"`
	Inet  *InetSocketAddressWrapper  `qapi:",case=inet"`
	Unix  *UnixSocketAddressWrapper  `qapi:",case=unix"`
	Vsock *VsockSocketAddressWrapper `qapi:",case=vsock"`
	FD    *FdSocketAddressWrapper    `qapi:",case=fd"`
}

type socketAddressType string

func (socketAddressType) QAPIName() string   { return "SocketAddressType" }
func (socketAddressType) QAPIEnum() []string { return []string{"inet", "unix", "vsock", "fd"} }

// InetSocketAddressBase is a host and a port, which may be names.
type InetSocketAddressBase struct {
	Host string `qapi:"host"`
	Port string `qapi:"port"`
}

// InetSocketAddress is a TCP or UDP address.
type InetSocketAddress struct {
	InetSocketAddressBase
	Numeric   *bool   `qapi:"numeric,optional"`
	To        *uint16 `qapi:"to,optional"`
	IPv4      *bool   `qapi:"ipv4,optional"`
	IPv6      *bool   `qapi:"ipv6,optional"`
	KeepAlive *bool   `qapi:"keep-alive,optional"`
	MPTCP     *bool   `qapi:"mptcp,optional"`
}

// UnixSocketAddress is a path.
type UnixSocketAddress struct {
	Path     string `qapi:"path"`
	Abstract *bool  `qapi:"abstract,optional"`
	Tight    *bool  `qapi:"tight,optional"`
}

// VsockSocketAddress is a guest or the host.
type VsockSocketAddress struct {
	CID  string `qapi:"cid"`
	Port string `qapi:"port"`
}

// FdSocketAddress is the number of a descriptor, or a name that getfd gave one.
type FdSocketAddress struct {
	Str string `qapi:"str"`
}

// InetSocketAddressWrapper holds the members of an older form.
type InetSocketAddressWrapper struct {
	Data InetSocketAddress `qapi:"data"`
}

// UnixSocketAddressWrapper holds the members of an older form.
type UnixSocketAddressWrapper struct {
	Data UnixSocketAddress `qapi:"data"`
}

// VsockSocketAddressWrapper holds the members of an older form.
type VsockSocketAddressWrapper struct {
	Data VsockSocketAddress `qapi:"data"`
}

// FdSocketAddressWrapper holds the members of an older form.
type FdSocketAddressWrapper struct {
	Data FdSocketAddress `qapi:"data"`
}
