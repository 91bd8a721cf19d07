#!/bin/bash
# Fuzzes what reads untrusted input: scripts/fuzz.sh [SECONDS [NAME]]
#
# Runs the targets of the table below, each for SECONDS (20 unless given), or a
# part of that, with one worker, two at a time. A NAME picks those that contain
# it. "all" adds the targets that are not in the table, for long runs. Each
# starts from its seeds (f.Add, testdata/fuzz) and what earlier runs found (go
# env GOCACHE). A finding is written to the package's testdata/fuzz and fails
# the run.
set -euo pipefail
seconds=${1:-20}
pick=${2:-}

# package, target, and a divisor of the time: what a guest, a client or the
# command line feeds
table='
internal/qjson  FuzzParser    1
monitor         FuzzSession   1
monitor         FuzzReadline  2
monitor/hmp     FuzzLine      1
qapi            FuzzDecode    2
cmd/gqemu       FuzzQMP       1
accel/qtest     FuzzServer    1
cli             FuzzKeyval    1
cli             FuzzOpts      1
cli             FuzzParse     2
hw/virtio       FuzzRegisters 1
hw/virtio       FuzzQueueEvents 2
hw/virtio/vring FuzzQueue     2
hw/virtio/vring FuzzPacked    2
hw/vdpa/sim     FuzzBlk       2
hw/vdpa/sim     FuzzNet       2
hw/vdpa/sim     FuzzIOTLB     2
hw/vdpa/sim     FuzzCalls     2
hw/vdpa/sim     FuzzFaults    4
hw/nvram        FuzzFwCfg     2
hw/input        FuzzI8042     4
hw/isa          FuzzICH9      4
hw/i386/boot    FuzzBzImage   1
hw/i386/boot    FuzzELF       1
'
if [ "$pick" = all ]; then
	pick=
	table=$(grep -ro --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . |
		sed 's|^\./||; s|/[^/]*:func | |' | sort -u)
fi

one() { # SECONDS PACKAGE TARGET [DIVISOR]
	local log seconds=$(($1 / ${4:-1}))
	log=$(mktemp)
	# Inputs are not made smaller for long: what a whole machine covers is never
	# the same twice. Go sometimes takes the end of the time for a failure; then there is no
	# failing input.
	if go test -run '^$' -fuzz "^$3\$" -fuzztime "${seconds}s" -fuzzminimizetime 1s -parallel 1 "./$2" >"$log" 2>&1 ||
		grep -q '^    context deadline exceeded$' "$log" && ! grep -q 'Failing input' "$log"; then
		printf '%-16s %-18s %s\n' "$2" "$3" "$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)"
		rm -f "$log"
	else
		echo "$2 $3:" >&2
		cat "$log" >&2
		rm -f "$log"
		return 255 # xargs starts no further one
	fi
}
export -f one
grep -v '^$' <<<"$table" | { grep -F -- "$pick" || { echo "no target has \"$pick\"" >&2; exit 1; }; } |
	xargs -r -P 2 -L 1 bash -c 'set -eu; one "$@"' one "$seconds"
