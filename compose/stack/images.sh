# The images of the deployment, each made of what is on this machine.

# libraries PROGRAM...: the shared libraries that they need, into the folder `into`.
libraries() {
    { ldd "$@" 2>/dev/null || true; } | awk '/=> \//{print $3} $1 ~ "^/lib.*ld-linux"{print $1}' | sort -u |
        while read -r library; do
            mkdir -p "$into$(dirname "$library")"
            cp -L "$library" "$into$library"
        done
}

# A shell and the usual small programs; then whatever is named.
base() { # FOLDER PROGRAM...
    into=$work/images/$1
    shift
    mkdir -p "$into"/{bin,usr/local/bin,etc/ssl/certs,tmp,proc,sys,dev,run/secrets,var/lib,data/db,data/configdb}
    chmod 1777 "$into/tmp"
    cp "$(command -v busybox)" "$into/bin/busybox"
    local name
    for name in sh wget cat chown mkdir grep tee sleep ls; do ln -s busybox "$into/bin/$name"; done
    printf 'root:x:0:0::/:/bin/sh\n' >"$into/etc/passwd"
    for name in "$@"; do
        name=$(readlink -f "$(command -v "$name")")
        cp "$name" "$into/usr/local/bin/"
        libraries "$name"
    done
}

# image NAME FOLDER [CHANGE]...: an image with what is in the folder.
image() {
    local name=$1 folder=$work/images/$2 change
    shift 2
    local -a changes=(--change 'ENV PATH=/usr/local/bin:/bin')
    for change in "$@"; do changes+=(--change "$change"); done
    tar -C "$folder" -cf - . | docker import "${changes[@]}" - "$name" >/dev/null
    rm -rf "$folder"
}

# mongod as compose.yaml calls it, with FerretDB behind it, and as much of mongosh as the health check asks. It asks for no password: its
# SCRAM does not end as drivers of MongoDB expect.
ferretdb_as_mongod() {
    cat >"$into/usr/local/bin/mongod" <<'SH'
#!/bin/sh
exec ferretdb --handler=sqlite --sqlite-url=file:/data/db/ --state-dir=/data/configdb --listen-addr=0.0.0.0:27017 --telemetry=disable
SH
    printf '#!/bin/sh\nexec wget -q -O /dev/null http://127.0.0.1:8088/debug/readyz\n' >"$into/usr/local/bin/mongosh"
    chmod 755 "$into/usr/local/bin/mongod" "$into/usr/local/bin/mongosh"
    # A new volume begins with the owner of the folder that it is mounted over.
    chown 999:999 "$into/data/db" "$into/data/configdb"
}

make_images() {
    say "images"
    base nats nats-server && image localhost/nats nats
    base mongod ferretdb && ferretdb_as_mongod && image localhost/mongod mongod
    base weed weed && image localhost/weed weed
    base prometheus prometheus && image localhost/prometheus prometheus 'ENTRYPOINT ["prometheus"]'
    base registry docker-registry
    mkdir -p "$into/etc/registry"
    printf 'version: 0.1\nstorage: {filesystem: {rootdirectory: /var/lib/registry}}\nhttp: {addr: ":5000"}\n' >"$into/etc/registry/config.yml"
    image localhost/registry registry 'ENTRYPOINT ["docker-registry", "serve", "/etc/registry/config.yml"]'

    # Ours, by the Containerfile, but for the stage that builds the programs.
    base ours "$programs/exportd" "$programs/exportctl"
    rm "$into"/usr/local/bin/*
    cp "$(readlink -f "$(command -v bash)")" "$into/bin/bash"
    libraries "$into/bin/bash"
    image localhost/base ours
    into=$work/images/programs
    mkdir -p "$into/out/etc/ssl/certs"
    local name
    for name in exportd exportctl; do strip -o "$into/out/$name" "$programs/$name"; done
    cp /etc/ssl/certs/ca-certificates.crt "$into/out/etc/ssl/certs/"
    image localhost/programs programs
    export EXPORT_IMAGE=localhost/export-center:test NATS_IMAGE=localhost/nats MONGODB_IMAGE=localhost/mongod \
        SEAWEEDFS_IMAGE=localhost/weed REGISTRY_IMAGE=localhost/registry PROMETHEUS_IMAGE=localhost/prometheus
    mkdir -p "$work/site"
    cp -R "$root/compose" "$work/site/compose"
    rm -rf "$work/site/compose/secrets"
    mkdir "$work/site/compose/secrets"
    printf 'mongodb://mongodb:27017/\n' >"$work/site/compose/secrets/mongodb-uri"
    chmod 444 "$work/site/compose/secrets/mongodb-uri"
    "$work/site/compose/secrets.sh" 2>/dev/null
    compose --profile core build --quiet --build-arg BASE_IMAGE=localhost/base --build-arg PROGRAMS=localhost/programs setup >/dev/null ||
        { say "cannot build the image"; exit 1; }
    say "$EXPORT_IMAGE: $(docker image inspect --format '{{.Size}}' "$EXPORT_IMAGE") bytes"
}
