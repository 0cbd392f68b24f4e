#!/usr/bin/env bash
# Pushes a bundle of GIB gibibytes (4 unless said) to Debian's docker-registry, beside `oras push` of the same file: time as a ratio, memory of both.
#
#   PUSH_BIN=FILE   uses that build of crates/targets/examples/push.rs instead of building it
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

gib=${GIB:-4}
for tool in docker-registry oras; do
    command -v "$tool" >/dev/null || { echo "bench: $tool is needed (tools/install.sh test)" >&2; exit 1; }
done
if [ -z "${PUSH_BIN:-}" ]; then
    (cd "$root" && cargo build --release --locked -p export-targets --example push >&2)
    PUSH_BIN=$(dirname "$DEMO_BIN")/release/examples/push
fi
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
registry() { # Starts an empty one.
    rm -rf "$work/registry" && mkdir -p "$work/registry"
    cat >"$work/registry.yml" <<CONF
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
http: {addr: 127.0.0.1:$port}
CONF
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    server=$!
    children+=("$server")
    for _ in $(seq 200); do curl -sf -o /dev/null "http://127.0.0.1:$port/v2/" && return 0; sleep 0.05; done
    echo "bench: the registry does not answer" >&2
    exit 1
}
stop() { kill "$server"; wait "$server" 2>/dev/null || true; }

openssl enc -aes-128-ctr -nosalt -K 00000000000000000000000000000000 -iv 00000000000000000000000000000000 </dev/zero 2>/dev/null | head -c "${gib}G" >"$work/bundle.tar" || true
: >"$work/ours" && : >"$work/theirs"
for round in $(seq 1 "$rounds"); do
    registry
    /usr/bin/env time -f %M -o "$work/ours.rss" "$PUSH_BIN" "127.0.0.1:$port" "$work/bundle.tar" >>"$work/ours"
    stop
    registry
    start=$(date +%s%N)
    (cd "$work" && /usr/bin/env time -f %M -o "$work/theirs.rss" oras push --plain-http --no-tty "127.0.0.1:$port/peer:1" bundle.tar >/dev/null)
    awk -v spent="$(($(date +%s%N) - start))" 'BEGIN { print spent / 1e9 }' >>"$work/theirs"
    stop
done
awk -v ours="$(median <"$work/ours")" -v theirs="$(median <"$work/theirs")" -v gib="$gib" -v a="$(cat "$work/ours.rss")" -v b="$(cat "$work/theirs.rss")" 'BEGIN {
    printf "%d GiB to docker-registry: ours %.1f s and %d MiB, oras %.1f s and %d MiB, ratio %.2f (oras hashes the file first)\n",
        gib, ours, a / 1024, theirs, b / 1024, theirs / ours }'
