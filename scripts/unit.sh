#!/bin/bash
# Unit tests of every package, with the race detector. The protocol tests
# (tests/qtest) have a target of their own.
set -euo pipefail
need() { # PROGRAM PACKAGE...
	if ! command -v "$1" >/dev/null; then
		shift
		echo "installing $*" >&2
		apt-get update -qq >&2
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
	fi
}
need gcc gcc libc6-dev    # the race detector needs cgo
need iasl acpica-tools    # checks the ACPI tables
CGO_ENABLED=1 go test -race -count=1 $(go list ./... | grep -v /tests/qtest)
