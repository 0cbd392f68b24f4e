#!/usr/bin/env bash
# One json:raw run with 1 and with 2 adapt processes, all roles apart on one broker, in turn. Each adapt process has one core
# (taskset), as a container with a limit of one CPU would, so that a second process and not a second thread is measured.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
printf 'listen: "127.0.0.1:%s"\njetstream { store_dir: "%s", sync_interval: always }\n' "$port" "$work/nats" >"$work/nats.conf"
nats-server --config "$work/nats.conf" >"$work/nats.log" 2>&1 &
children+=($!)
cat >"$work/export.toml" <<TOML
data_dir = "$work/data"
listen = "127.0.0.1:0"
[nats]
url = "nats://127.0.0.1:$port"
TOML
daemon() { "$DEMO_BIN/exportd" --config "$work/export.toml" "$@"; }
begin() { # NAME ROLE [PREFIX...]
    local name=$1 role=$2
    shift 2
    "$@" "$DEMO_BIN/exportd" --config "$work/export.toml" "$role" >"$work/$name.out" 2>"$work/$name.log" </dev/null &
    children+=($!)
    ready "$work/$name.out"
}
for _ in $(seq 100); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
daemon key generate >/dev/null
daemon evidence import --tenant demo "$evidence" >"$work/import.txt" 2>&1
for role in orchestrator plan resolve manifest sign distribute gateway; do begin "$role" "$role"; done
begin first adapt taskset -c 0
daemon client put bench --tenant demo --server "$(head -n 1 "$work/gateway.out" | member server)" --out "$work/credentials.json"

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
adapt_ms >/dev/null
for _ in $(seq "$rounds"); do adapt_ms; done >"$work/one"
begin second adapt taskset -c 1
adapt_ms >/dev/null
for _ in $(seq "$rounds"); do adapt_ms; done >"$work/two"
awk -v one="$(median <"$work/one")" -v two="$(median <"$work/two")" -v rounds="$rounds" 'BEGIN {
    printf "adapt phase, medians of %d rounds: 1 process %d ms, 2 processes %d ms, ratio %.2f\n", rounds, one, two, one / two }'
