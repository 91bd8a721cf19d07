// Package monitor speaks QMP, and the human monitor's line protocol, with the
// clients on character devices. It knows no command but those about the
// session itself; the others are in the [qapi.Registry] it is given.
//
// A [Set] holds all monitors of a VM. Each monitor serves one client after the
// other for as long as its [Port] lives.
//
// # Order and concurrency
//
// The commands of a session run one after the other, each through the Exec
// hook, which lets one command of all sessions run at a time by taking the
// VM's lock. Until a client has enabled the capability "oob", nothing of its
// input is looked at while a command runs; afterwards up to 8 commands wait, and
// what is marked AllowOOB overtakes them: it runs at once on the session's
// reading goroutine, without the VM's lock. Either way no input is taken from
// the port before all that was taken has been used.
//
// Each monitor has two goroutines, one that reads and one that runs commands.
// Output is written by whoever has some; it never blocks.
//
// # A client that does not read
//
// When more than 1 MiB waits for a client, none of its commands is
// read or run until it has taken some, so at most one reply beyond that is
// held. When more than 1 MiB of events waits, further events are
// dropped for this client, and for this client only. Nothing waits for it.
package monitor
