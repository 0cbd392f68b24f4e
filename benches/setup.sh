# Sourced by the benchmarks: finds the evidence, the tools and the two programs, and cleans up behind them.
#
#   EVIDENCE=FOLDER   what to import instead of ../shared/evidence (samples/ if that is not there)
#   DEMO_BIN=FOLDER   uses the exportd and exportctl of that folder instead of building them
#   ROUNDS=N          rounds that count, after one that warms the page cache (default 3)
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=${ROUNDS:-3}
evidence=${EVIDENCE:-$root/../shared/evidence}
[ -e "$evidence" ] || evidence=$root/samples
export PATH="$root/.tools/bin:$PATH"
work=$(mktemp -d "${TMPDIR:-/tmp}/export-bench.XXXXXX")
children=()
on_exit() {
    local status=$?
    trap - EXIT INT TERM
    [ ${#children[@]} -eq 0 ] || kill -TERM "${children[@]}" 2>/dev/null || true
    wait || true
    rm -rf "$work"
    exit "$status"
}
trap on_exit EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -z "${DEMO_BIN:-}" ]; then
    (cd "$root" && cargo build --release --locked -p exportd -p exportctl >&2)
    DEMO_BIN=$(cd "$root" && cargo metadata --no-deps --locked --format-version 1 |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release
fi

# Waits until the program that writes FILE says that it is ready.
ready() { # FILE
    for _ in $(seq 600); do
        grep -q '"ready"' "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    echo "bench: a process does not get ready:" >&2
    tail -n 20 "${1%.out}.log" >&2 || true
    exit 1
}

# The middle one of the numbers on stdin.
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

# The value of a member of a JSON document on stdin: member NAME
member() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
