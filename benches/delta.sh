#!/usr/bin/env bash
# How large a delta is against how much changed, in a ledger of RECORDS records (1,000,000 unless said), and how much memory making
# and applying it takes. The peer is the full mirror of the same state.
ROUNDS=1
records=${RECORDS:-1000000}
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

"$DEMO_BIN/exportd" evidence generate --data "$work/data" --tenant demo --seed 1 --records "$records" >"$work/generate.txt" 2>&1
"$DEMO_BIN/exportd" all --data "$work/data" --listen 127.0.0.1:0 >"$work/all.out" 2>"$work/all.log" </dev/null &
children+=($!)
ready "$work/all.out"
ctl() { "$DEMO_BIN/exportctl" --credentials "$work/data/credentials.json" --quiet "$@"; }
# SBOMs as lines: at most 50,000 are files of their own.
config='{"mirrorSboms":"lines"}'
for kind in full delta; do
    printf '{"id":"%s","name":"%s","kind":"mirror:%s","config":%s}' "$kind" "$kind" "$kind" "$config" >"$work/$kind.json"
    ctl profile create --file "$work/$kind.json" >/dev/null
done
bundle() { # RUN FILE: downloads
    ctl bundle download "$(member id <"$1")" --dir "$2" >/dev/null
}
ctl run start full --watch -o json >"$work/base.json"
bundle "$work/base.json" "$work/base"
site=$work/site
key=$work/data/keys/cosign.pub
ctl bundle apply "$work/base" --into "$site" --key "$key" >/dev/null
full=$(stat -c %s "$work/base/bundle.tar")
printf '%s records, full mirror %s bytes, made in %s ms\n\n' "$records" "$full" "$(member durationMs <"$work/base.json")"
printf '%10s %12s %9s %10s %10s %12s\n' changed delta share 'made ms' 'applied ms' 'apply MiB'
base=$(member id <"$work/base.json")
seed=100
for changed in 0 1 10 100 1000 10000 100000; do
    [ "$changed" -le "$records" ] || break
    seed=$((seed + 1))
    if [ "$changed" -gt 0 ]; then
        "$DEMO_BIN/exportd" evidence generate --data "$work/data" --tenant demo --seed "$seed" --records "$changed" >>"$work/generate.txt" 2>&1
    fi
    ctl run start delta --base "$base" --watch -o json >"$work/delta.json"
    rm -rf "$work/delta"
    bundle "$work/delta.json" "$work/delta"
    start=$(date +%s%N)
    /usr/bin/env time -f %M -o "$work/rss" "$DEMO_BIN/exportctl" --quiet bundle apply "$work/delta" --into "$site" --key "$key" >/dev/null
    spent=$((($(date +%s%N) - start) / 1000000))
    size=$(stat -c %s "$work/delta/bundle.tar")
    awk -v changed="$changed" -v size="$size" -v full="$full" -v made="$(member durationMs <"$work/delta.json")" -v spent="$spent" -v rss="$(cat "$work/rss")" \
        'BEGIN { printf "%10d %12d %8.3f%% %10d %10d %12.0f\n", changed, size, size * 100 / full, made, spent, rss / 1024 }'
    base=$(member id <"$work/delta.json")
done
awk '/VmHWM/ { printf "\npeak memory of `exportd all`: %.0f MiB\n", $2 / 1024 }' "/proc/${children[0]}/status"
