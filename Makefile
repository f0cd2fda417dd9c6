# make demo   build, collect a bundled export on loopback, ask for top talkers
# make test   install what is missing and run every check and test
# make bench  compare with the tools this suite replaces

.PHONY: demo test check bench fuzz

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

bench:
	bench/compare
	bench/collect
	bench/probe

fuzz:
	fuzz/smoke --seconds 60
