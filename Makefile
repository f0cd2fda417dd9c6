# make demo   build, collect a bundled export on loopback, ask for top talkers
# make test   install what is missing and run every check and test
# make bench  compare with the tools this suite replaces, all in one table
#
# make build    build what is installed: programs, manual pages, completions
# make install  install it below PREFIX, after build; install-compat links the old names
# make deb rpm  make packages; make static: programs without libraries, for TARGETS

.PHONY: demo test check bench fuzz build manual install install-compat deb rpm static

demo:
	bench/demo

test:
	tests/prepare
	@start=$$(date +%s); $(MAKE) --no-print-directory check && \
	  echo "make test: everything passed, $$(($$(date +%s) - start)) s"

# What `test` runs once everything is installed.
check:
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet
	cargo test --workspace --locked
	fuzz/smoke
	bench/demo --check >/dev/null
	bench/compare --check
	bench/collect --check
	bench/probe --check
	bench/growth --check
	bench/needle --check

bench:
	bench/all

fuzz:
	fuzz/smoke --seconds 60

# What packages ship is built with the profile dist, which takes its time; LAKE=no leaves out flowlake,
# which takes most of it.
PROFILE ?= dist
PREFIX ?= /usr/local
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
# Programs and pages from elsewhere are taken as they are.
BINARIES ?= $(TARGET_DIR)/$(if $(filter dev,$(PROFILE)),debug,$(PROFILE))
MANUAL ?= $(TARGET_DIR)/manual
OUT ?= $(TARGET_DIR)/packages
export BINARIES MANUAL OUT PREFIX
made = $(if $(filter file,$(origin BINARIES)),build,$(if $(filter file,$(origin MANUAL)),manual))

build: manual
	cargo build --locked --profile $(PROFILE) --package flowsuite --bins
ifneq ($(LAKE),no)
	cargo build --locked --profile $(PROFILE) --package flowsuite-flowlake
endif

manual:
	cargo run --locked --quiet --package flowsuite-manual -- $(MANUAL)

# Not after build: root has no compiler.
install:
	pkg/install suite "$(DESTDIR)"
	[ ! -x "$(BINARIES)/flowlake" ] || pkg/install lake "$(DESTDIR)"

install-compat:
	pkg/install compat "$(DESTDIR)"

deb: $(made)
	pkg/deb

rpm: $(made)
	pkg/rpm

static:
	PROFILE=$(PROFILE) pkg/static
