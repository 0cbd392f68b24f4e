#!/usr/bin/env bash
# json:raw of a folder of evidence, from the embedded ledger, against what a user would do instead, in turn on the same
# machine: `jq -cS . | zstd -3 | sha256sum` over the same documents. Prints the medians and their ratio.
# usage: benches/json.sh [EVIDENCE_FOLDER] [ROUNDS]
set -euo pipefail
cd "$(dirname "$0")/.."
evidence=${1:-${EVIDENCE:-../shared/evidence}}
rounds=${2:-${ROUNDS:-3}}
[ -d "$evidence" ] || { echo "bench-json: no evidence in $evidence; using samples" >&2; evidence=samples; }
target=${CARGO_TARGET_DIR:-target}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cargo build --release --locked --quiet -p exportd -p export-benches
"$target/release/exportd" evidence import --data "$work/data" --tenant bench "$evidence" >/dev/null

# The peer reads the documents as they came, one a line, from one file that is in the page cache like the ledger is.
find "$evidence" -name docs.jsonl.zst -not -path '*/enrichment/*' -print0 | sort -z | xargs -0 -r zstd -dcq --long=31 >"$work/documents.jsonl"
if [ ! -s "$work/documents.jsonl" ]; then
    find "$evidence" -name '*.json' -not -path '*/enrichment/*' -not -path '*/policy/*' -print0 | sort -z | xargs -0 cat >"$work/documents.jsonl"
fi
bytes=$(stat -c %s "$work/documents.jsonl")

now() { date +%s%N; }
ours() { "$target/release/export-benches" --data "$work/data" --staging "$work/staging.$1" >"$work/ours.out"; rm -rf "$work/staging.$1"; }
peer() { jq -cS . "$work/documents.jsonl" | zstd -3 -q | sha256sum >/dev/null; }
ours warm
median() { sort -n | awk '{v[NR]=$1} END {print (NR%2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }
for round in $(seq "$rounds"); do
    a=$(now); ours "$round"; b=$(now); peer; c=$(now)
    echo $((b - a)) >>"$work/ours.ns"; echo $((c - b)) >>"$work/peer.ns"
    echo "round $round: ours $(((b - a) / 1000000)) ms, peer $(((c - b) / 1000000)) ms" >&2
done
ours_ns=$(median <"$work/ours.ns"); peer_ns=$(median <"$work/peer.ns")
awk -v o="$ours_ns" -v p="$peer_ns" -v n="$bytes" -v jq="$(jq --version)" -v r="$rounds" 'BEGIN {
    printf "documents      %.1f MB, medians of %d rounds\n", n/1e6, r
    printf "ours           %.2f s  (%.0f MB/s)  2 workers, canonical lines with envelope, digests, staged durably\n", o/1e9, n/1e3/(o/1e6)
    printf "peer           %.2f s  (%.0f MB/s)  %s -cS . | zstd -3 | sha256sum\n", p/1e9, n/1e3/(p/1e6), jq
    printf "ratio          %.1f times\n", p/o }'
