# What is deployed, and what must then be true. A site is a choice of profiles and overlays of compose.yaml.

files=(-f compose.yaml)
profiles=()

compose() { (cd "$work/site/compose" && docker-compose --progress quiet "${files[@]}" "${profiles[@]}" "$@"); }

# Waits until the command succeeds. SECONDS COMMAND...
until_true() {
    local left=$1
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 1
    done
}

# Lines SERVICE STATE HEALTH EXIT-CODE of all containers.
states() { compose ps -a --format '{{.Service}} {{.State}} {{or .Health "-"}} {{.ExitCode}}'; }

is_settled() { states | awk '{ n++ } $2 == "running" && $3 == "healthy" { next } $2 == "exited" && $4 == 0 { next } { bad = 1 } END { exit bad || !n }'; }

# Grafana's image cannot be made here.
services() { compose config --services | grep -vx grafana; }

# up [ARGUMENT]...: starts the site, and waits until every container is healthy or, for those that end, has ended well.
up() {
    local -a all
    mapfile -t all < <(services)
    compose up -d "$@" "${all[@]}" >/dev/null 2>"$work/up.log" || { cat "$work/up.log" >&2; fail "cannot start"; }
    until_true 240 is_settled || fail "not all containers are healthy"
    say "$(states | wc -l) containers, healthy or ended well"
}

# As compose/README.md says it: a client with its credentials, the key, evidence.
prepare() { # TENANT
    compose run --rm setup client put ci --tenant "$1" --server http://127.0.0.1:8480 --out /var/lib/export-center/authority/ci.json >/dev/null 2>&1 ||
        fail "no client"
    compose exec -T gateway sh -c 'cd /var/lib/export-center/authority && cat ci.json && rm ci.json' >"$work/ci.json"
    compose exec -T gateway cat /var/lib/export-center/keys/cosign.pub >"$work/cosign.pub"
    compose run --rm -v "$root/samples:/evidence:ro" plan evidence import --tenant "$1" /evidence >/dev/null 2>"$work/import.log" ||
        { cat "$work/import.log" >&2; fail "no evidence"; }
}

exportctl() { "$programs/exportctl" --credentials "$work/ci.json" "$@"; }

# An export of every kind that the samples are enough for, downloaded and verified.
exports() { # [PROFILE]...
    local profile run
    suspects=(plan resolve adapt manifest sign distribute)
    for profile in "$@"; do
        run=$(exportctl -o ndjson run start "$profile" --watch | sed -n 's/.*"id": *"\([0-9a-z]*\)".*/\1/p' | head -n 1) || fail "$profile"
        exportctl bundle download "$run" --dir "$work/bundles/$run" >/dev/null || fail "no bundle of $profile"
        exportctl bundle verify "$work/bundles/$run" --key "$work/cosign.pub" >/dev/null || fail "the bundle of $profile"
        say "$profile: made, downloaded, verified"
    done
    suspects=()
}

# Kills containers of a service as a crash would: the engine starts them again.
crash() { # SERVICE
    local container
    for container in $(compose ps -q "$1"); do kill -KILL "$(docker inspect --format '{{.State.Pid}}' "$container")"; done
}

# No container runs as root, may write to its root, has a capability, or is without limits.
assert_hardened() {
    local container said
    for container in $(compose ps -q); do
        said=$(docker inspect --format '{{.Name}} user={{.Config.User}} readonly={{.HostConfig.ReadonlyRootfs}} drop={{.HostConfig.CapDrop}} memory={{.HostConfig.Memory}} pids={{.HostConfig.PidsLimit}}' "$container")
        case $said in
        *user=0* | *user=\ * | *readonly=false* | *memory=0\ *) fail "not hardened: $said" ;;
        *'drop=[ALL]'*) ;;
        *) fail "not hardened: $said" ;;
        esac
        grep -q '^CapEff:[[:space:]]*0*$' "/proc/$(docker inspect --format '{{.State.Pid}}' "$container")/status" || fail "has capabilities: $said"
    done
}

# A folder as staging, and Prometheus.
site_core() {
    files=(-f compose.yaml) profiles=(--profile core --profile observability)
    up
    assert_hardened
    prepare acme
    exports json:raw json:policy trivy:db trivy:java-db mirror:full
    asks_prometheus 'count(up == 1)' 9 || fail "Prometheus does not see every role"
    asks_prometheus 'sum(exporter_runs_total{status="succeeded"})' 5 || fail "Prometheus does not count the runs"
    up --scale adapt=4
    say "kill -9 of every adapt, of the orchestrator and of the broker, while a run is under way"
    # Resolve holds the run until all is dead.
    compose pause resolve >/dev/null 2>&1
    local run
    run=$(exportctl --quiet -o json run start json:raw | sed -n 's/.*"id": *"\([0-9a-z]*\)".*/\1/p' | head -n 1)
    crash adapt
    crash orchestrator
    crash nats
    compose unpause resolve >/dev/null 2>&1
    exportctl run watch "$run" >/dev/null || fail "the run under kills"
    until_true 120 is_settled || fail "not all came back"
    say "all down and up again, with what was there"
    compose down >/dev/null 2>&1
    up
    exportctl bundle download "$run" --dir "$work/bundles/again" >/dev/null || fail "the bundle is gone"
}

# Whether Prometheus comes to answer a query with that number, within two minutes.
asks_prometheus() { # QUERY NUMBER
    until_true 120 answers_prometheus "$1" "$2"
}
answers_prometheus() {
    busybox wget -q -O - "http://127.0.0.1:9090/api/v1/query?query=$(printf %s "$1" | sed 's/ /%20/g; s/"/%22/g; s/{/%7B/g; s/}/%7D/g; s/=/%3D/g')" | grep -qF "\"$2\"]"
}

# Object storage as staging; bundles pushed to a registry and into a bucket with Object Lock.
site_s3() {
    export EXPORT_STAGING_DRIVER=s3 EXPORT_ALLOW_DISTRIBUTION=http,object,oci
    files=(-f compose.yaml) profiles=(--profile core --profile s3 --profile registry)
    up
    assert_hardened
    prepare acme
    printf '{"id":"pushed","name":"pushed","kind":"json:raw","config":{"distribution":["http","oci","object"]}}' >"$work/profile.json"
    exportctl profile create --file "$work/profile.json" >/dev/null || fail "no profile"
    exports pushed trivy:db
    compose exec -T registry wget -q -O - http://127.0.0.1:5000/v2/_catalog | grep -q acme || fail "nothing in the registry"
    compose exec -T s3 sh -c 'echo "fs.ls -R /buckets/exports" | weed shell -master=s3:9333 -filer=s3:8888' | grep -q acme || fail "nothing in the bucket"
    unset EXPORT_STAGING_DRIVER EXPORT_ALLOW_DISTRIBUTION
}

# A site without a way out: no role but the gateway reaches anything but the deployment.
site_offline() {
    files=(-f compose.yaml -f overlays/offline.yaml) profiles=(--profile core --profile s3)
    up
    prepare acme
    exports json:raw trivy:db mirror:full
    printf '{"id":"pushed","name":"pushed","kind":"json:raw","config":{"distribution":["oci"]}}' >"$work/profile.json"
    exportctl profile create --file "$work/profile.json" >/dev/null || fail "no profile"
    if exportctl run start pushed --watch >"$work/refused" 2>&1; then fail "an offline site pushes"; fi
    grep -qE 'ERR_EXPORT_(OFFLINE|DISTRIBUTION)' "$work/refused" || { cat "$work/refused" >&2; fail "refused for another reason"; }
    local stranger address role
    stranger=$(docker run -d --network export-center_outside --tmpfs /var/lib/registry "$REGISTRY_IMAGE")
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "$stranger")
    until_true 10 reaches gateway "$address" || fail "the gateway, which is to be reached, has no network"
    for role in plan resolve adapt manifest sign distribute orchestrator; do
        ! reaches "$role" "$address" || fail "$role has a way out"
    done
    docker rm --force "$stranger" >/dev/null
}

# Whether a role gets through to a host on the network that leads out.
reaches() { # SERVICE ADDRESS
    compose exec -T "$1" busybox timeout 3 bash -c "exec 3<>/dev/tcp/$2/5000" >/dev/null 2>&1
}

# Three brokers with three copies of the log: one of them may go.
site_cluster() {
    files=(-f compose.yaml -f overlays/nats-cluster.yaml) profiles=(--profile core)
    up
    prepare acme
    exports json:raw
    compose stop --timeout 1 nats-2 >/dev/null 2>&1
    exports trivy:db mirror:full
}
