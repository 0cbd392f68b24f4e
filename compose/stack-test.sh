#!/usr/bin/env bash
# Starts the whole compose deployment in containers, with a container engine of its own and no registry, and runs exports through it.
#
#   cargo build --release --locked -p exportd -p exportctl
#   tools/install.sh stack
#   compose/stack-test.sh target/release [core|s3|offline|cluster]...      as root; default: all four, five minutes
#
# compose.yaml and its overlays are taken as they are. Only the images are stand-ins, made of this machine's own programs, since public ones
# need a registry: the base of ours (in the place of debian:bookworm-slim), nats-server, SeaweedFS, CNCF distribution, Prometheus, and
# FerretDB under the name of mongod. Grafana is left out: it is nowhere but in its image.
set -euo pipefail

programs=$(cd "${1:?usage: compose/stack-test.sh FOLDER-WITH-PROGRAMS [SITE]...}" && pwd)
shift
[ $# -gt 0 ] || set -- core s3 offline cluster
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PATH=$root/.tools/bin:$PATH
work=$(mktemp -d /tmp/export-stack.XXXXXX)
export DOCKER_HOST=unix://$work/docker.sock DOCKER_CONFIG=$work/client BUILDX_CONFIG=$work/client/buildx

say() { printf 'stack: %s\n' "$*" >&2; }
fail() {
    say "failed: $*"
    compose ps -a >&2 || true
    compose logs --no-log-prefix --tail 20 "${suspects[@]}" >&2 || true
    exit 1
}
suspects=()

# shellcheck source=compose/stack/engine.sh
source "$root/compose/stack/engine.sh"
# shellcheck source=compose/stack/images.sh
source "$root/compose/stack/images.sh"
# shellcheck source=compose/stack/sites.sh
source "$root/compose/stack/sites.sh"

trap stop_engine EXIT
trap 'exit 130' INT TERM
start_engine
make_images
for site in "$@"; do
    say "site $site"
    "site_$site"
    compose down --volumes --timeout 5 --remove-orphans >/dev/null 2>&1
done
say ok
