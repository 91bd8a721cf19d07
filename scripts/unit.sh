#!/bin/bash
# Unit tests of every package, with the race detector. Those that need a
# machine of their own (tests/) have their own targets.
set -euo pipefail
if ! command -v gcc >/dev/null; then
	echo "installing gcc: the race detector needs cgo" >&2
	apt-get update -qq >&2
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >&2
fi
CGO_ENABLED=1 go test -race -count=1 $(go list ./... | grep -v /tests/)
