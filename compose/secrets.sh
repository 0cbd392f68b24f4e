#!/usr/bin/env bash
# Makes the secrets of a compose deployment in compose/secrets/ (or the folder that is named), each once: what is there stays.
# The folder is for its owner only; the files in it are readable, since the containers read them as users of their own.
set -euo pipefail

folder=${1:-$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

# put NAME TEXT
put() {
    [ ! -s "$folder/$1" ] || return 0
    printf '%s\n' "$2" >"$folder/$1.new"
    chmod 444 "$folder/$1.new"
    mv "$folder/$1.new" "$folder/$1"
}
random() { od -An -tx1 -N32 /dev/urandom | tr -d ' \n'; }
read_secret() { cat "$folder/$1"; }

put nats-password "$(random)"
put nats-auth "user: exports, password: \"$(read_secret nats-password)\""
put nats-routes-password "$(random)"
routes=$(read_secret nats-routes-password)
put nats-routes "authorization { user: routes, password: \"$routes\" }
routes: [\"nats://routes:$routes@nats:6222\", \"nats://routes:$routes@nats-2:6222\", \"nats://routes:$routes@nats-3:6222\"]"
put mongodb-password "$(random)"
put mongodb-uri "mongodb://exports:$(read_secret mongodb-password)@mongodb:27017/?authSource=admin"
put s3-secret "$(random)"
put s3-config "{\"identities\":[{\"name\":\"exports\",\"credentials\":[{\"accessKey\":\"exports\",\"secretKey\":\"$(read_secret s3-secret)\"}],\"actions\":[\"Admin\",\"Read\",\"List\",\"Tagging\",\"Write\"]}]}"
put links-key "$(random)"
put webhooks-key "$(random)"
put grafana-password "$(random)"
echo "secrets are in $folder" >&2
