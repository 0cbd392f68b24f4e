#!/usr/bin/env bash
# Our json:raw export against what a user would do instead, `jq -cS . | zstd -3 | sha256sum`, on the same records, in
# turn, ROUNDS times (default 3). Prints both medians and the ratio; quote ratios, machines differ.
#
#   benches/json.sh            imports ../shared/evidence or EVIDENCE=FOLDER, else samples/
#   DEMO_BIN=FOLDER ...        uses the exportd and exportctl of that folder instead of building them
#
# Ours is the whole run from admission to the signed, registered bundle, as the run's own `durationMs` says; the peer
# reads plain JSON lines from the page cache and keeps nothing, which is in its favour.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
rounds=${ROUNDS:-3}
evidence=${EVIDENCE:-$root/../shared/evidence}
[ -e "$evidence" ] || evidence=$root/samples
export PATH="$root/.tools/bin:$PATH"
work=$(mktemp -d "${TMPDIR:-/tmp}/export-bench.XXXXXX")
server=''
on_exit() {
    local status=$?
    trap - EXIT INT TERM
    if [ -n "$server" ]; then
        kill -TERM "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
    fi
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
"$DEMO_BIN/exportd" all --data "$work/data" --listen 127.0.0.1:0 >"$work/out" 2>"$work/log" </dev/null &
server=$!
for _ in $(seq 600); do
    grep -q '"ready"' "$work/out" && break
    kill -0 "$server" 2>/dev/null || { tail -n 20 "$work/log" >&2; exit 1; }
    sleep 0.1
done
"$DEMO_BIN/exportd" evidence import --data "$work/data" --tenant demo "$evidence" >&2
ctl() { "$DEMO_BIN/exportctl" --credentials "$work/data/credentials.json" "$@"; }

for ((round = 0; round <= rounds; round++)); do
    ctl --quiet run start json-raw --watch -o json >"$work/run.json"
    if [ "$round" -eq 0 ]; then
        # The first round warms the page cache, and gives the peer its records.
        run=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["id"])' "$work/run.json")
        ctl --quiet bundle download "$run" --dir "$work/bundle" >/dev/null
        mkdir "$work/unpacked"
        tar -xf "$work/bundle/bundle.tar" -C "$work/unpacked"
        zstd -dcq "$work"/unpacked/data/raw/*.jsonl.zst >"$work/records.jsonl"
        continue
    fi
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["durationMs"])' "$work/run.json" >>"$work/ours"
    start=$(date +%s%N)
    jq -cS . "$work/records.jsonl" | zstd -3 -q | sha256sum >/dev/null
    echo $((($(date +%s%N) - start) / 1000000)) >>"$work/theirs"
done

python3 - "$work" "$(jq --version)" <<'PY'
import os, statistics, sys
work, jq = sys.argv[1:]
median = lambda name: statistics.median(int(line) for line in open(f"{work}/{name}"))
ours, theirs = max(median("ours"), 1), median("theirs")
size = os.path.getsize(f"{work}/records.jsonl")
records = sum(1 for _ in open(f"{work}/records.jsonl", "rb"))
print(f"{records:,} records, {size / 1e6:.1f} MB")
for name, millis in (("json:raw run", ours), (f"{jq} -cS | zstd -3 | sha256sum", theirs)):
    print(f"{name:<36} median {millis / 1000:8.3f} s  {size / 1e3 / max(millis, 1):8.1f} MB/s")
print(f"ratio {theirs / ours:.1f}")
PY
