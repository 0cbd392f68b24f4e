#!/usr/bin/env bash
# Downloads of a bundle of GIB gibibytes (4 unless said) through the gateway, beside nginx with the same file: throughput as a ratio, memory of
# the gateway's process, and that a download goes on to the same bytes after a kill of either side.
#
# What is measured is the download, not the making: a run's bundle is swapped for a file of that length behind the ledger's back.
source "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

gib=${GIB:-4}
command -v nginx >/dev/null || { echo "bench: nginx is needed (Debian: nginx-light)" >&2; exit 1; }
data=$work/data
serve() { # LISTEN
    "$DEMO_BIN/exportd" all --data "$data" --listen "$1" >"$work/all.out" 2>"$work/all.log" </dev/null &
    gateway=$!
    children+=("$gateway")
    ready "$work/all.out"
}
exportctl=("$DEMO_BIN/exportctl" --credentials "$data/credentials.json" --quiet)
"$DEMO_BIN/exportd" evidence generate --data "$data" --tenant demo --seed 1 --records 200 >/dev/null 2>&1
serve 127.0.0.1:0
address=$(member server <"$data/credentials.json")
"${exportctl[@]}" run start json-raw --watch -o json >"$work/run.json"
run=$(member id <"$work/run.json")

big=$work/big
openssl enc -aes-128-ctr -nosalt -K 00000000000000000000000000000000 -iv 00000000000000000000000000000000 </dev/zero 2>/dev/null | head -c "${gib}G" >"$big" || true
digest=$(sha256sum "$big" | cut -d' ' -f1)
ln "$big" "$data/staging/demo/$run/artefacts/sha256-$digest"
python3 - "$data/runs.db" "$run" "$digest" "$(stat -c %s "$big")" <<'PYTHON'
import json, sqlite3, sys

path, run, digest, length = sys.argv[1:]
ledger = sqlite3.connect(path)
(column,) = [name for _, name, *_ in ledger.execute("PRAGMA table_info(export_runs)") if name == "document"]
(text,) = ledger.execute("SELECT document FROM export_runs WHERE _id = ?", (run,)).fetchone()
document = json.loads(text)
document["bundle"].update(digest="sha256:" + digest, bytes=int(length))
ledger.execute("UPDATE export_runs SET document = ? WHERE _id = ?", (json.dumps(document), run))
ledger.commit()
PYTHON

mkdir -p "$work/nginx/www"
ln "$big" "$work/nginx/www/big"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
# As a site would serve files: sendfile, and one worker for each core.
cat >"$work/nginx/nginx.conf" <<CONF
user $(id -un) $(id -gn); daemon off; worker_processes auto; pid $work/nginx/pid; error_log $work/nginx/error.log;
events {}
http { access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  client_body_temp_path $work/nginx/body; proxy_temp_path $work/nginx/proxy; fastcgi_temp_path $work/nginx/fastcgi;
  uwsgi_temp_path $work/nginx/uwsgi; scgi_temp_path $work/nginx/scgi;
  server { listen 127.0.0.1:$port; root $work/nginx/www; } }
CONF
nginx -p "$work/nginx" -c "$work/nginx/nginx.conf" 2>"$work/nginx/start.log" &
children+=($!)
for _ in $(seq 100); do curl -s -o /dev/null "http://127.0.0.1:$port/" && break; sleep 0.05; done

# Token and proof for one request for the bundle, as any client of the API sends them.
path=/api/export/runs/$run/download
headers() { "${exportctl[@]}" api GET "$path" --print-headers; }
speed() { curl -sSf -o /dev/null -w '%{speed_download}\n' "$@"; }
rss() { awk '/VmRSS/ { printf "%d", $2 / 1024 }' "/proc/$gateway/status"; }
bundle=$address$path
before=$(rss)
most=0
: >"$work/ours" && : >"$work/theirs"
for round in $(seq 0 "$rounds"); do
    theirs=$(speed "http://127.0.0.1:$port/big")
    speed -H @<(headers) -H "X-Stella-Tenant: demo" "$bundle" >"$work/speed" &
    pid=$!
    while kill -0 "$pid" 2>/dev/null; do
        now=$(rss) && [ "$now" -le "$most" ] || most=$now
        sleep 0.2
    done
    wait "$pid"
    ours=$(cat "$work/speed")
    # The first round warms the page cache.
    [ "$round" -eq 0 ] || { echo "$ours" >>"$work/ours"; echo "$theirs" >>"$work/theirs"; }
done
awk -v ours="$(median <"$work/ours")" -v theirs="$(median <"$work/theirs")" -v gib="$gib" -v before="$before" -v most="$most" 'BEGIN {
    printf "%d GiB: gateway %.0f MB/s, nginx %.0f MB/s, ratio %.2f\n", gib, ours / 1e6, theirs / 1e6, ours / theirs
    printf "memory of `exportd all`: %d MiB before, at most %d MiB while it sends\n", before, most }'

# Killed in the middle, first the client, then the gateway; each time the download goes on.
target=$work/download
part=$target/bundle.part
have() { stat -c %s "$part" 2>/dev/null || echo 0; }
"${exportctl[@]}" bundle download "$run" --dir "$target" >/dev/null 2>&1 &
client=$!
until [ "$(have)" -gt 100000000 ]; do sleep 0.02; done
kill -KILL "$client"; wait "$client" 2>/dev/null || true
kept=$(have)
"${exportctl[@]}" bundle download "$run" --dir "$target" >"$work/download.txt" &
client=$!
until [ "$(have)" -gt $((kept + 100000000)) ] || ! kill -0 "$client" 2>/dev/null; do sleep 0.02; done
kill -KILL "$gateway"; wait "$gateway" 2>/dev/null || true
serve "${address#http://}"
wait "$client"
echo "$digest  $target/bundle.tar" | sha256sum --check --quiet && echo "after a kill of either side: the same digest (client gone on with at $kept bytes)"
