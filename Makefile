# run performs the main job, test is what CI runs, test-full runs all there is.
SHELL := /bin/bash
GO    := source scripts/go-env.sh; go
export CGO_ENABLED := 0

.PHONY: build run test test-full bench bench-qmp lint unit fuzz fuzz-long qtest kvm rig clean

build:
	@$(GO) build -trimpath -o bin/gqemu ./cmd/gqemu

run: build
	@$(GO) run ./tests/rig/cmd/mainjob

test: lint unit fuzz qtest kvm rig

test-full: lint unit fuzz qtest kvm
	@$(GO) run ./tests/rig/cmd/rig test -full

bench: build bench-qmp
	@$(GO) test -run '^$$' -bench . -benchtime 1x ./accel/kvm ./monitor
	@$(GO) run ./tests/rig/cmd/rig bench

# The control side beside the installed QEMU.
bench-qmp: build
	@$(GO) run ./tests/qtest/cmd/qmpbench

lint:
	@source scripts/go-env.sh; scripts/lint.sh

unit:
	@source scripts/go-env.sh; scripts/unit.sh

# 20 seconds for each target that reads untrusted input; fuzz-long is for a
# night.
fuzz:
	@source scripts/go-env.sh; scripts/fuzz.sh

fuzz-long:
	@source scripts/go-env.sh; scripts/fuzz.sh 600 all

qtest: build
	@$(GO) test -count=1 ./tests/qtest/...

kvm: build
	@$(GO) test -count=1 ./accel/kvm/...

rig: build
	@$(GO) run ./tests/rig/cmd/rig test

clean:
	rm -rf bin .cache
