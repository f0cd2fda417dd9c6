# What the comparisons of this directory share; each sources it with its own arguments:
#   --check          little data once, no judgement, programs of the profile that tests use
#   --results FILE   append results to FILE and print nothing
#   --data DIR       keep data below DIR, not bench/data
# Sets check, results, data, bin, scratch, rivals, and rest: the arguments that are none of these.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=bench/${0##*/}
check='' results='' data=bench/data rest=()
while [ $# -gt 0 ]; do
  case $1 in
  --check) check=--check ;;
  --results) results=${2:?names a file} && shift ;;
  --data) data=${2:?names a directory} && shift ;;
  *) rest+=("$1") ;;
  esac
  shift
done

need() { # COMMAND...
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || {
      echo "$name: needs $tool; tests/prepare installs it" >&2
      exit 1
    }
  done
}

# The nfdump of this system, and the one that $NFDUMP names.
rivals=(nfdump)
[ -z "${NFDUMP:-}" ] || rivals+=("$NFDUMP")
need "${rivals[@]}"

if [ -n "$check" ]; then
  bin=${CARGO_TARGET_DIR:-target}/debug
  # What `make check` has built for tests; other packages at once would be built with other features.
  cargo test --workspace --locked --quiet --no-run
else
  bin=${CARGO_TARGET_DIR:-target}/release
  cargo build --release --locked --quiet -p flowsuite -p flowsuite-bench --bins
fi

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
[ -z "$check" ] || data=$scratch/data
is_alone=
if [ -z "$results" ]; then
  is_alone=yes
  results=$scratch/results
  : >"$results"
fi

# Flow files of the traffic model, made once.
flows_in() { # DIRECTORY FILES FLOWS [OPTION...]
  local dir=$1 files=$2 flows=$3
  shift 3
  if [ "$(find "$dir" -name 'nfcapd.*' 2>/dev/null | wc -l)" -ne "$files" ]; then
    rm -rf "$dir"
    mkdir -p "$dir"
    "$bin/genflows" "$dir" --files "$files" --flows "$flows" "$@"
  fi
}

# At the end: the table, unless another script prints it.
finish() {
  [ -z "$is_alone" ] || "$bin/table" $check "$@" "$results"
}
