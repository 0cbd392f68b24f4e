#!/usr/bin/env bash
# One json:raw run with 1 and with 2 adapt processes, all roles apart on one broker, in turn, ROUNDS times (default 3). Each adapt
# process compresses on one thread, so that a second process and not a second thread is what is measured.
#
#   benches/scale.sh           imports ../shared/evidence or EVIDENCE=FOLDER, else samples/
#   DEMO_BIN=FOLDER ...        uses the exportd and exportctl of that folder instead of building them
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
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listen: "127.0.0.1:%s"\njetstream { store_dir: "%s", sync_interval: always }\n' "$port" "$work/nats" >"$work/nats.conf"
nats-server --config "$work/nats.conf" >"$work/nats.log" 2>&1 &
children+=($!)
cat >"$work/export.toml" <<EOF
data_dir = "$work/data"
listen = "127.0.0.1:0"
[nats]
url = "nats://127.0.0.1:$port"
[workers]
adapt_threads = 1
EOF
daemon() { "$DEMO_BIN/exportd" --config "$work/export.toml" "$@"; }
ready() { # FILE
    for _ in $(seq 600); do
        grep -q '"ready"' "$1" 2>/dev/null && return 0
        sleep 0.1
    done
    echo "scale: a role does not get ready" >&2
    exit 1
}
begin() { # NAME ROLE
    daemon "$2" >"$work/$1.out" 2>"$work/$1.log" </dev/null &
    children+=($!)
    ready "$work/$1.out"
}
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
daemon key generate
daemon evidence import --tenant demo "$evidence" >&2
for role in orchestrator plan resolve manifest sign distribute gateway adapt; do begin "$role" "$role"; done
server=$(python3 -c 'import json, sys; print(json.loads(open(sys.argv[1]).readline())["server"])' "$work/gateway.out")
daemon client put bench --tenant demo --server "$server" --out "$work/credentials.json"

# Milliseconds from the end of resolve to the end of adapt, as the run's own timeline says.
adapt_ms() {
    "$DEMO_BIN/exportctl" --credentials "$work/credentials.json" --quiet run start json-raw --watch -o ndjson >"$work/events"
    python3 - "$work/events" <<'PY'
import json, sys
for line in open(sys.argv[1]):
    event = json.loads(line)
    if event.get("eventType") == "stage.completed" and event.get("phase") == "adapt":
        print(event["metrics"]["duration_ms"])
PY
}
median() { sort -n | awk '{v[NR] = $1} END {print (NR % 2) ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }
adapt_ms >/dev/null
for _ in $(seq "$rounds"); do adapt_ms; done >"$work/one"
begin second adapt
adapt_ms >/dev/null
for _ in $(seq "$rounds"); do adapt_ms; done >"$work/two"
one=$(median <"$work/one")
two=$(median <"$work/two")
awk -v one="$one" -v two="$two" -v rounds="$rounds" 'BEGIN {
    printf "adapt phase, medians of %d rounds: 1 process %d ms, 2 processes %d ms, ratio %.2f\n", rounds, one, two, one / two }'
