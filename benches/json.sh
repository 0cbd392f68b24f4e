#!/usr/bin/env bash
# Our json:raw export against what a user would do instead, `jq -cS . | zstd -3 | sha256sum`, on the same records, in
# turn. Prints both medians, the ratio and the peak memory of our server; quote ratios, machines differ.
#
# Ours is the whole run from admission to the signed, registered bundle, as the run's own `durationMs` says; the peers read
# plain JSON lines from the page cache and keep nothing, which is in their favour. The second peer is the zstd command line
# alone on text that is canonical already.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

"$DEMO_BIN/exportd" all --data "$work/data" --listen 127.0.0.1:0 >"$work/all.out" 2>"$work/all.log" </dev/null &
children+=($!)
ready "$work/all.out"
"$DEMO_BIN/exportd" evidence import --data "$work/data" --tenant demo "$evidence" >"$work/import.txt" 2>&1
ctl() { "$DEMO_BIN/exportctl" --credentials "$work/data/credentials.json" --quiet "$@"; }
timed() { # FILE COMMAND...: appends the milliseconds that the command took
    local file=$1 start
    shift
    start=$(date +%s%N)
    "$@" >/dev/null
    echo $((($(date +%s%N) - start) / 1000000)) >>"$file"
}
with_jq() { jq -cS . "$work/records.jsonl" | zstd -3 -q | sha256sum; }
with_zstd() { zstd -3 -T2 -q -c "$work/records.jsonl"; }

ctl run start json-raw --watch -o json >"$work/run.json"
ctl bundle download "$(member id <"$work/run.json")" --dir "$work/bundle" >/dev/null
mkdir "$work/unpacked"
tar -xf "$work/bundle/bundle.tar" -C "$work/unpacked"
zstd -dcq "$work"/unpacked/data/raw/*.jsonl.zst >"$work/records.jsonl"
for _ in $(seq "$rounds"); do
    ctl run start json-raw --watch -o json | member durationMs >>"$work/ours"
    timed "$work/jq" with_jq
    timed "$work/zstd" with_zstd
done

ours=$(median <"$work/ours")
peer=$(median <"$work/jq")
zstd=$(median <"$work/zstd")
bytes=$(stat -c %s "$work/records.jsonl")
printf '%s records, %s bytes of canonical text, medians of %s rounds\n' "$(wc -l <"$work/records.jsonl")" "$bytes" "$rounds"
row() { awk -v name="$1" -v ms="$2" -v bytes="$bytes" 'BEGIN { printf "%-38s %8.3f s %8.1f MB/s\n", name, ms / 1000, bytes / ms / 1000 }'; }
row 'json:raw run' "$ours"
row "$(jq --version) -cS | zstd -3 | sha256sum" "$peer"
row 'zstd -3 -T2, nothing else' "$zstd"
awk -v ours="$ours" -v peer="$peer" -v zstd="$zstd" 'BEGIN {
    printf "ratio to jq %.1f, to zstd alone %.2f\n", peer / ours, zstd / ours }'
awk '/VmHWM/ { printf "peak memory of `exportd all`: %.0f MiB\n", $2 / 1024 }' "/proc/${children[0]}/status"
