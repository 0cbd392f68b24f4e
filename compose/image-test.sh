#!/usr/bin/env bash
# Builds the image from nothing but this machine (no registry) and runs it as compose does: as another user, with a read-only root and no
# capabilities. Needs root, buildah and runc (Debian: apt-get install buildah runc) and the two programs, built beforehand:
#
#   cargo build --release --locked -p exportd -p exportctl
#   compose/image-test.sh target/release
#
# The base, in the place of debian:bookworm-slim, is made of this machine's own shell and libraries; the stage that builds is left out.
set -euo pipefail

programs=$(cd "${1:?usage: compose/image-test.sh FOLDER-WITH-PROGRAMS}" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
export BUILDAH_ISOLATION=chroot
buildah=(buildah --root "$work/storage" --runroot "$work/run" --storage-driver vfs)
container=export-center-image-test-$$
trap 'runc --root "$work/runc" delete --force "$container" 2>/dev/null || true; "${buildah[@]}" rm --all >/dev/null 2>&1 || true; rm -rf "$work"' EXIT
say() { printf 'image: %s\n' "$*" >&2; }

# image NAME FOLDER: an image with what is in the folder.
image() {
    local made
    made=$("${buildah[@]}" from scratch)
    "${buildah[@]}" copy --quiet "$made" "$2" / >/dev/null
    "${buildah[@]}" commit --quiet "$made" "$1" >/dev/null
    "${buildah[@]}" rm "$made" >/dev/null
}

say "the programs"
mkdir -p "$work/programs/out/etc/ssl/certs"
for name in exportd exportctl; do
    cp "$programs/$name" "$work/programs/out/$name"
    strip "$work/programs/out/$name"
done
cp /etc/ssl/certs/ca-certificates.crt "$work/programs/out/etc/ssl/certs/"
image localhost/programs "$work/programs"

say "a base of this machine's shell and libraries"
mkdir -p "$work/base"/{bin,etc/ssl/certs,tmp,proc,sys,dev,run/secrets,usr/local/bin,var/lib}
chmod 1777 "$work/base/tmp"
for name in bash mkdir chown; do cp "$(readlink -f "$(command -v "$name")")" "$work/base/bin/$name"; done
ln -s bash "$work/base/bin/sh"
{ ldd /bin/bash "$(command -v mkdir)" "$(command -v chown)" "$work/programs/out/exportd" "$work/programs/out/exportctl" || true; } |
    awk '/=> \//{print $3} $1 ~ "^/lib.*ld-linux"{print $1}' | sort -u |
    while read -r library; do
        mkdir -p "$work/base$(dirname "$library")"
        cp -L "$library" "$work/base$library"
    done
image localhost/base "$work/base"

say "the image, by the Containerfile"
# Docker and newer builders leave out stages that nothing needs; older ones build each, so the first one is taken out here.
awk '/^FROM .* AS build$/{skip=1} /^FROM \$\{PROGRAMS\}/{skip=0} !skip' "$root/compose/Containerfile" >"$work/Containerfile"
"${buildah[@]}" build --quiet --format docker --build-arg BASE_IMAGE=localhost/base --build-arg PROGRAMS=localhost/programs \
    --pull-never -f "$work/Containerfile" -t localhost/export-center:test "$root" >/dev/null
"${buildah[@]}" inspect --type image --format '{{.Docker.Config.User}} {{.Docker.Config.Entrypoint}} {{.Docker.Config.WorkingDir}}' localhost/export-center:test |
    grep -qxF '65532:65532 [/usr/local/bin/exportd] /var/lib/export-center'

say "running it"
made=$("${buildah[@]}" from --pull-never localhost/export-center:test)
rootfs=$("${buildah[@]}" mount "$made")
say "$(du -sm "$rootfs" | cut -f1) MB unpacked, of it $(du -sm "$work/base" | cut -f1) MB base"
[ "$(stat -c %u "$rootfs/var/lib/export-center/staging" "$rootfs/scratch" | sort -u)" = 65532 ]

# bundle COMMAND...: an OCI bundle as compose's settings make one. It has a network of its own, with nothing in it.
bundle() {
    python3 - "$work/bundle/config.json" "$rootfs" "$@" <<'PY'
import json, sys
path, rootfs, *command = sys.argv[1:]
tmpfs = lambda where: {"destination": where, "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "uid=65532", "gid=65532", "mode=0700"]}
json.dump({
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 65532, "gid": 65532}, "args": command, "cwd": "/var/lib/export-center", "noNewPrivileges": True,
        "env": ["PATH=/usr/local/bin:/bin", "EXPORT_ADMIN_LISTEN=127.0.0.1:9480", "EXPORT_LISTEN=127.0.0.1:8480", "EXPORT_WORKERS_SCRATCH_DIR=/scratch"],
        "capabilities": {},
    },
    "root": {"path": rootfs, "readonly": True},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
        tmpfs("/tmp"), tmpfs("/scratch"), tmpfs("/var/lib/export-center"),
        *([{"destination": "/usr/local/bin/nats-server", "type": "bind", "source": NATS, "options": ["rbind", "ro"]}] if (NATS := __import__("shutil").which("nats-server")) else []),
    ],
    "linux": {"namespaces": [{"type": kind} for kind in ["pid", "ipc", "uts", "mount", "network"]]},
}, open(path, "w"))
PY
}
mkdir -p "$work/bundle"
export PATH=$root/.tools/bin:$PATH
bundle /usr/local/bin/exportd --version
runc --root "$work/runc" run --bundle "$work/bundle" "$container"
# Every role in one process, and the probe that compose asks. The shell is the first process; it ends the server.
bundle /bin/sh -ec '
    ! (echo x >/x) 2>/dev/null
    exportd all --data /var/lib/export-center >/tmp/out 2>/tmp/log & server=$!
    for attempt in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do
        if ready 9480 2>/dev/null; then
            echo "ready, as $UID, root read-only"
            kill $server; wait $server
            exit 0
        fi
        read -t 1 <> <(:) || :
    done
    while read -r line; do echo "$line"; done </tmp/log
    exit 1'
runc --root "$work/runc" run --bundle "$work/bundle" "$container"
say "ok"
