#!/usr/bin/env bash
# Our bolt writer against Go's bbolt (one transaction, fill 0.9, no fsync), the same sorted rows, in turn, ROUNDS times
# (default 5). Prints both medians, the ratio and both file sizes; quote ratios, machines differ.
#
#   benches/bolt.sh            makes ADVISORIES (default 300000) rows, and a quarter as many vulnerabilities
#
# A time is that of the whole process, rows file to closed database. Ours includes fsync, the peer's does not.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=${ROUNDS:-5}
command -v go >/dev/null || { echo 'bolt: the peer is a Go program, and there is no go' >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/export-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

cd "$root"
cargo build --release --locked -p export-bolt --example load >&2
load=$(cargo metadata --no-deps --locked --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/examples/load
(cd benches/bolt-peer && go build -buildvcs=false -o "$work/peer" .)
(cd crates/bolt/tests/judge && go build -buildvcs=false -o "$work/judge" .)
"$load" generate "${ADVISORIES:-300000}" "$work/rows"

timed() { # NAME COMMAND...
    local name=$1 start
    shift
    rm -f "$work/$name.db"
    start=$(date +%s%N)
    "$@" "$work/rows" "$work/$name.db"
    echo $((($(date +%s%N) - start) / 1000)) >>"$work/$name"
}
for ((round = 0; round <= rounds; round++)); do
    # The first round warms the page cache.
    [ "$round" -ne 1 ] || rm "$work/ours" "$work/peer-times"
    timed ours "$load" write
    timed peer-times "$work/peer"
done

sizes=$(stat -c %s "$work/rows" "$work/ours.db" "$work/peer-times.db" | tr '\n' ' ')
# Last, because it writes to them: both are sound and hold the same.
ours=$("$work/judge" "$work/ours.db")
[ "$ours" = "$("$work/judge" "$work/peer-times.db")" ] || { echo 'bolt: the databases differ' >&2; exit 1; }

python3 - "$work" "$rounds" $sizes <<'PY'
import statistics, sys
work, rounds, rows, *sizes = sys.argv[1:]
median = lambda name: statistics.median(int(line) for line in open(f"{work}/{name}")) / 1e6
times = [median("ours"), median("peer-times")]
print(f"{int(rows) / 1e6:.1f} MB of rows, {rounds} rounds")
for name, time, size in zip(("export-bolt", "Go bbolt"), times, map(int, sizes)):
    print(f"{name:<12} median {time:7.3f} s  file {size / 1e6:7.1f} MB")
print(f"ratio {times[1] / times[0]:.1f}, file {int(sizes[0]) / int(sizes[1]):.2f} of the peer's")
PY
