#!/usr/bin/env bash
# From evidence to verified bundles, with nothing but this working tree:
#
#   scripts/demo.sh            imports samples/
#   EVIDENCE=FOLDER ...        imports that folder instead
#   KEEP=1 ...                 leaves the server running and says how to stop it
#   DEMO_DATA=FOLDER ...       puts the data there instead of in demo-data/<time>
#   PROFILE=release ...        builds for speed: for much evidence
#   DEMO_BIN=FOLDER ...        uses the exportd and exportctl of that folder instead of building them
#
# Each demo has a fresh folder, so that nothing of an earlier one can help it; `make clean-data` removes them.
# Data goes to standard output (the table), talk to standard error.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
evidence=${EVIDENCE:-$root/samples}
tenant=demo
server_pid=''
data=''

say() { printf 'demo: %s\n' "$*" >&2; }
die() {
    printf 'demo: error: %s\n' "$*" >&2
    exit 1
}

# Prints the member of the JSON document in file $1 that the path $2 names (a.b.c), nothing where there is none.
member() {
    python3 - "$1" "$2" <<'PY'
import json, sys
text = open(sys.argv[1], encoding="utf-8").read().strip()
try:
    value = json.loads(text)
except ValueError:
    try:  # A stream of documents: the last one counts.
        value = json.loads(text.splitlines()[-1])
    except (ValueError, IndexError):
        sys.exit(0)
for name in sys.argv[2].split("."):
    value = value.get(name) if isinstance(value, dict) else None
if value is not None:
    print(value if isinstance(value, str) else json.dumps(value))
PY
}

alive() { [ -n "$1" ] && kill -0 "$1" 2>/dev/null; }

# Waits until process $1 is gone, at most $2 tenths of a second.
gone_within() {
    local i
    for ((i = 0; i < $2; i++)); do
        alive "$1" || return 0
        sleep 0.1
    done
    ! alive "$1"
}

stop_server() {
    [ -n "$server_pid" ] || return 0
    local broker
    broker=$(cat "$data/nats/nats-server.pid" 2>/dev/null || true)
    if alive "$server_pid"; then
        kill -TERM "$server_pid" 2>/dev/null || true
        if ! gone_within "$server_pid" 300; then
            say "the server does not stop by itself; killing it"
            kill -KILL "$server_pid" 2>/dev/null || true
        fi
    fi
    wait "$server_pid" 2>/dev/null || true
    # The server ends its broker. Should it have died before it could, the pid file of our own folder names it.
    if alive "$broker" && ! gone_within "$broker" 50; then
        case $(ps -o args= -p "$broker" 2>/dev/null) in
        *nats-server*"$data"*) kill -KILL "$broker" 2>/dev/null || true ;;
        esac
    fi
    rm -f "$data/exportd.pid"
    server_pid=''
}

on_exit() {
    local status=$?
    trap - EXIT INT TERM
    stop_server
    exit "$status"
}

check_machine() {
    command -v python3 >/dev/null || die "python3 is missing; install Python 3.9 or later with pip"
    [ -e "$evidence" ] || die "there is no evidence at $evidence"
    evidence=$(cd "$(dirname "$evidence")" && pwd)/$(basename "$evidence")
    [ -n "${DEMO_BIN:-}" ] && return 0
    command -v cargo >/dev/null || die "cargo is missing; install Rust with rustup (rust-toolchain.toml names the version)"
    command -v cc >/dev/null || die "no C compiler; install gcc or clang"
}

# Where cargo puts programs of a profile.
profile_folder() { case ${PROFILE:-dev} in dev) echo debug ;; *) echo "$PROFILE" ;; esac; }

programs() {
    if [ -z "${DEMO_BIN:-}" ]; then
        say "building (the first time takes some minutes)"
        # As `make test` does, unless told otherwise: whoever runs both builds everything once. What is hot is optimised in any case.
        (cd "$root" && cargo build --profile "${PROFILE:-dev}" --locked -p exportd -p exportctl >&2)
        (cd "$root" && cargo metadata --no-deps --locked --format-version 1) >"$data/metadata.json"
        DEMO_BIN=$(member "$data/metadata.json" target_directory)/$(profile_folder)
        rm -f "$data/metadata.json"
    fi
    exportd=$DEMO_BIN/exportd
    exportctl=$DEMO_BIN/exportctl
    [ -x "$exportd" ] && [ -x "$exportctl" ] || die "no exportd and exportctl in $DEMO_BIN"
}

start_server() {
    say "starting exportd all in $data"
    # A session of its own: Ctrl-C reaches this script alone, which then stops the server in good order, and with
    # KEEP=1 the server outlives the terminal.
    local -a apart=()
    command -v setsid >/dev/null && apart=(setsid)
    ${apart[@]+"${apart[@]}"} "$exportd" all --data "$data" --listen 127.0.0.1:0 \
        >"$data/exportd.out" 2>"$data/exportd.log" </dev/null &
    server_pid=$!
    echo "$server_pid" >"$data/exportd.pid"
    local i
    for ((i = 0; i < 1200; i++)); do
        if grep -q '"ready"' "$data/exportd.out" 2>/dev/null && [ -s "$data/credentials.json" ]; then
            address=$(member "$data/credentials.json" server)
            say "exportd serves $address"
            say "the console is at $address/ (sign in with the file $data/credentials.json)"
            return 0
        fi
        alive "$server_pid" || break
        sleep 0.1
    done
    tail -n 20 "$data/exportd.log" >&2
    die "exportd does not come up; its log is $data/exportd.log"
}

ctl() { "$exportctl" --credentials "$data/credentials.json" "$@"; }

# Sets `offline` to a prefix under which no network can be reached, and `proof` to what is said of it.
find_offline() {
    local prefix
    for prefix in "unshare -n" "unshare -rn"; do
        # Even loopback is down in a new network namespace.
        if $prefix true 2>/dev/null; then
            offline=$prefix
            proof="each in an empty network namespace ($prefix)"
            return 0
        fi
    done
    if command -v strace >/dev/null && strace -qq -e trace=network -o /dev/null true 2>/dev/null; then
        offline=strace
        proof="each watched by strace, which saw no socket opened"
        return 0
    fi
    offline=''
    proof="NOT proven offline: this machine has neither unshare nor strace to use"
}

# Verifies the bundle folder $1; the outcome goes to $1.verify.json.
verify() {
    local -a command=("$exportctl" bundle verify "$1" --key "$data/keys/cosign.pub" -o json)
    case $offline in
    strace)
        strace -f -qq -e trace=socket,connect -e signal=none -o "$1.strace" "${command[@]}" >"$1.verify.json" || return 1
        ! grep -q 'socket(' "$1.strace" || { say "verification opened a socket, see $1.strace"; return 1; }
        rm -f "$1.strace"
        ;;
    *) $offline "${command[@]}" >"$1.verify.json" ;;
    esac
}

failed=0
made=0
verified=0
full_run=''

# Runs the profile $1 and appends its row to rows.tsv.
export_profile() {
    local profile=$1 run status
    local out=$data/runs/$profile.json err=$data/runs/$profile.log
    local -a more=()
    if [ "$profile" = mirror-delta ]; then
        # A delta needs a base, and this demo has one only if the full mirror worked.
        [ -z "$full_run" ] || more=(--base "$full_run")
    fi
    say "exporting $profile"
    if ! ctl run start "$profile" ${more[@]+"${more[@]}"} --watch -o json >"$out" 2>"$err"; then
        if grep -q ERR_EXPORT_PROFILE_UNSUPPORTED "$out" "$err"; then
            row "$profile" - - - 'not yet' -
            return 0
        fi
        if grep -q ERR_EXPORT_SNAPSHOT_MISSING "$out" "$err"; then
            # Evidence of one's own may come without a policy snapshot.
            row "$profile" - - - 'no policy snapshot' -
            return 0
        fi
        say "$profile failed:"
        tail -n 10 "$err" >&2
        row "$profile" - - - FAILED "$err"
        failed=1
        return 0
    fi
    run=$(member "$out" id)
    status=$(member "$out" status)
    local folder=$data/bundles/$profile
    if [ "$status" != succeeded ] || [ -z "$run" ]; then
        say "$profile ended as ${status:-nothing}"
        row "$profile" - - - "${status:-FAILED}" "$out"
        failed=1
        return 0
    fi
    [ "$profile" != mirror-full ] || full_run=$run
    mkdir -p "$folder"
    if ! ctl bundle download "$run" --dir "$folder" >>"$err" 2>&1; then
        tail -n 10 "$err" >&2
        row "$profile" - - - 'NO DOWNLOAD' "$err"
        failed=1
        return 0
    fi
    made=$((made + 1))
    if ! verify "$folder" 2>>"$err"; then
        tail -n 10 "$err" >&2
        row "$profile" - - - 'NOT VERIFIED' "$err"
        failed=1
        return 0
    fi
    verified=$((verified + 1))
    row "$profile" "$(member "$out" bundle.records)" "$(member "$out" bundle.bytes)" "$(member "$out" durationMs)" \
        "$(member "$out" bundle.digest)" "$folder"
}

row() {
    (IFS=$'\t' && printf '%s\n' "$*") >>"$data/rows.tsv"
}

print_table() {
    python3 - "$data/rows.tsv" "$PWD" <<'PY'
import os, sys
rows = [["profile", "records", "bytes", "seconds", "digest", "path"]]
for line in open(sys.argv[1], encoding="utf-8"):
    profile, records, size, millis, digest, path = line.rstrip("\n").split("\t")
    number = lambda text: f"{int(text):,}" if text.isdigit() else text
    seconds = f"{int(millis) / 1000:.1f}" if millis.isdigit() else millis
    near = os.path.relpath(path, sys.argv[2]) if path != "-" else path
    path = path if near.startswith("..") else near
    rows.append([profile, number(records), number(size), seconds, digest, path])
widths = [max(len(row[column]) for row in rows) for column in range(6)]
for row in rows:
    cells = [cell.rjust(width) if 1 <= column <= 3 else cell.ljust(width)
             for column, (cell, width) in enumerate(zip(row, widths))]
    print("  ".join(cells).rstrip())
PY
}

main() {
    check_machine
    data=${DEMO_DATA:-$root/demo-data/$(date -u +%Y%m%dT%H%M%SZ)}
    mkdir -p "$data"
    data=$(cd "$data" && pwd)
    [ ! -e "$data/exportd.pid" ] || ! alive "$(cat "$data/exportd.pid")" || die "a server already runs in $data"
    trap on_exit EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    "$root/tools/install.sh" demo
    export PATH="$root/.tools/bin:$PATH"
    programs
    find_offline
    start_server
    say "importing $evidence"
    "$exportd" evidence import --data "$data" --tenant "$tenant" --reject-file "$data/rejects.jsonl" "$evidence" >&2

    mkdir -p "$data/runs" "$data/bundles"
    : >"$data/rows.tsv"
    ctl profile list -o json >"$data/runs/profiles.json"
    local profile
    for profile in $(python3 - "$data/runs/profiles.json" <<'PY'
import json, sys
found = json.load(open(sys.argv[1], encoding="utf-8"))
found = found.get("profiles", []) if isinstance(found, dict) else found
# In the order of the specification: a delta comes after its base.
order = ["json-raw", "json-policy", "trivy-db", "trivy-java-db", "mirror-full", "mirror-delta"]
print(*sorted((profile["id"] for profile in found), key=lambda i: (order.index(i) if i in order else len(order), i)))
PY
    ); do
        export_profile "$profile"
    done

    echo
    print_table
    echo
    echo "verified: $verified of $made bundles, $proof"
    echo "key:      $data/keys/cosign.pub"
    echo "server:   $address"
    if [ "$failed" -ne 0 ]; then die "a profile failed; the log of the server is $data/exportd.log"; fi
    if [ "$verified" -eq 0 ]; then die "no profile made a bundle"; fi
    if [ "${KEEP:-}" = 1 ]; then
        echo "console:  $address/"
        echo "          sign in with the file $data/credentials.json"
        echo "          left running; stop it with: kill $server_pid"
        echo "          try: $exportctl --credentials $data/credentials.json run list"
        server_pid=''
    else
        echo "          stopped again; KEEP=1 leaves it running, with its console"
    fi
}

main "$@"
