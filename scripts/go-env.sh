# Sourced by the Makefile's recipes: puts a Go that is new enough for go.mod on
# PATH. Debian's golang-go may be older than go.mod asks and too old to fetch
# the right one by itself; but any Go can download the module that holds it.
set -eu
want=$(sed -n 's/^go //p' go.mod)

new_enough() { # PROGRAM
	have=$("$1" env GOVERSION 2>/dev/null) || return 1
	have=${have#go}
	[ "$(printf '%s\n%s\n' "$want" "$have" | sort -V | head -n 1)" = "$want" ]
}

GOTOOLCHAIN=local
export GOTOOLCHAIN
if ! command -v go >/dev/null && [ -x /usr/local/go/bin/go ]; then
	PATH=/usr/local/go/bin:$PATH
fi
if ! command -v go >/dev/null || ! new_enough go; then
	if ! command -v go >/dev/null; then
		echo "installing golang-go (Debian)" >&2
		apt-get update -qq >&2
		DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends golang-go ca-certificates >&2
	fi
	if ! new_enough go; then
		toolchain=golang.org/toolchain@v0.0.1-go$want.linux-amd64
		dir=$(go env GOMODCACHE)/$toolchain
		if [ ! -x "$dir/bin/go" ]; then
			echo "downloading Go $want as a module" >&2
			tmp=$(mktemp -d)
			(cd "$tmp" && go mod init toolchain >/dev/null 2>&1 && go mod download "$toolchain")
			rm -rf "$tmp"
			# Module archives carry no permissions.
			chmod -R u+w "$dir"
			chmod +x "$dir"/bin/* "$dir"/pkg/tool/linux_amd64/*
		fi
		PATH=$dir/bin:$PATH
	fi
fi
export PATH
