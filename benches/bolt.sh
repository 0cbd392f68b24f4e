#!/usr/bin/env bash
# Our bolt writer against Go's bbolt (one transaction, fill 0.9, no fsync), the same sorted rows, in turn, ROUNDS times
# (default 3). Prints the medians, the sizes of the files and both ratios; quote ratios, machines differ.
#
#   benches/bolt.sh            makes ADVISORIES (default 300000) rows, and a quarter as many vulnerabilities
#
# A time is that of the whole process, rows file to closed database. Ours includes fsync, the peer's does not. The peer is
# run as one would write it, and once more with the map of its file made in advance, which costs the usual peer most.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=${ROUNDS:-3}
command -v go >/dev/null || { echo 'bolt: the peer is a Go program, and there is no go' >&2; exit 1; }
work=$(mktemp -d "${TMPDIR:-/tmp}/export-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT

cd "$root"
cargo build --release --locked -p export-bolt --example load >&2
load=$(cargo metadata --no-deps --locked --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')/release/examples/load
(cd benches/bolt-peer && go build -buildvcs=false -o "$work/bin/peer" .)
(cd crates/bolt/tests/judge && go build -buildvcs=false -o "$work/bin/judge" .)
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
    [ "$round" -ne 1 ] || rm "$work/ours" "$work/theirs" "$work/mapped"
    timed ours "$load" write
    timed theirs "$work/bin/peer"
    timed mapped "$work/bin/peer" -mapped
done

# All are sound and hold the same.
ours=$("$work/bin/judge" "$work/ours.db")
for name in theirs mapped; do
    [ "$ours" = "$("$work/bin/judge" "$work/$name.db")" ] || { echo 'bolt: the databases differ' >&2; exit 1; }
done

python3 - "$work" "$rounds" <<'PY'
import os, statistics, sys
work, rounds = sys.argv[1:]
median = lambda name: statistics.median(int(line) for line in open(f"{work}/{name}")) / 1e6
size = lambda name: os.path.getsize(f"{work}/{name}") / 1e6
print(f"{size('rows'):.1f} MB of rows, medians of {rounds} rounds")
for title, name in (("export-bolt", "ours"), ("Go bbolt", "theirs"), ("Go bbolt, mapped in advance", "mapped")):
    print(f"{title:<28} {median(name):7.3f} s  {size(name + '.db'):7.1f} MB  "
          f"time ratio {median(name) / median('ours'):5.1f}  file ratio {size(name + '.db') / size('ours.db'):.2f}")
PY
