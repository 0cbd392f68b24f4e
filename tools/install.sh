#!/usr/bin/env bash
# Installs what tools/tools.list names and this machine lacks: programs into .tools/bin, Python packages into .venv.
#
#   tools/install.sh [demo|test|bench|stack]...      default: test
#
# Does nothing, and asks no network, when everything is there. Talks on standard error only. Needs no root, except for
# packages of the system that are missing. Tools named in EXPORT_TESTS_WITHOUT (with commas) are left out.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
list=$root/tools/tools.list
bin=$root/.tools/bin
stamps=$root/.tools/installed
venv=$root/.venv
oldest_nats=2.14

say() { printf 'tools: %s\n' "$*" >&2; }
die() {
    printf 'tools: error: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf 'tools:   fix: %s\n' "$2" >&2
    exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# at_least VERSION OLDEST
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# The pins of tool $1 that begin with $2, one a line.
pins() { awk -v name="$1" -v begin="$2" '$1 == "pin" && $2 == name && index($3, begin) == 1 { print $3 }' "$list"; }

# What a stamp holds: whatever changes it makes the tool be installed again.
recipe() { printf '%s %s %s\n' "$2" "$3" "$4"; pins "$1" ''; }

is_installed() { # NAME KIND SOURCE VERSION
    [ -x "$bin/$1" ] && [ -f "$stamps/$1" ] && [ "$(cat "$stamps/$1")" = "$(recipe "$@")" ]
}

# Moves a finished program into place, so that whoever uses the old one never sees half of the new one.
place() { # FILE NAME KIND SOURCE VERSION
    local file=$1
    shift
    chmod 755 "$file"
    mv -f "$file" "$bin/$1"
    recipe "$@" >"$stamps/$1"
}

python=''
find_python() {
    [ -z "$python" ] || return 0
    local candidate
    for candidate in "${PYTHON:-}" python3 python; do
        if [ -n "$candidate" ] && have "$candidate" &&
            "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 9))' 2>/dev/null; then
            python=$candidate
            return 0
        fi
    done
    return 1
}
python_with_pip() { find_python && "$python" -m pip --version >/dev/null 2>&1; }

quiet_pip() { "$python" -m pip --disable-pip-version-check --no-input "$@" >&2; }

# Fetches one pinned file of a PyPI package into a folder. FOLDER NAME PACKAGE VERSION [pip options]
fetch_pypi() {
    local folder=$1 name=$2 package=$3 version=$4 pin
    shift 4
    {
        printf '%s==%s' "$package" "$version"
        pins "$name" sha256: | while read -r pin; do printf ' --hash=%s' "$pin"; done
        echo
    } >"$folder/requirements.txt"
    quiet_pip download --quiet --no-deps --require-hashes --dest "$folder" "$@" -r "$folder/requirements.txt"
}

install_wheel() { # NAME KIND SOURCE VERSION
    python_with_pip || { say "no Python 3.9 or later with pip"; return 1; }
    local folder=$work/$1 package=${3%%:*} path=''
    [ "$package" = "$3" ] || path=${3#*:}
    mkdir -p "$folder"
    fetch_pypi "$folder" "$1" "$package" "$4" --only-binary :all: || return 1
    "$python" - "$folder" "$1" "$path" <<'PY' || return 1
import pathlib, shutil, sys, zipfile
folder, name, path = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
wheel = next(folder.glob("*.whl"))
with zipfile.ZipFile(wheel) as archive:
    inside = path or next(n for n in archive.namelist() if n.endswith(".data/scripts/" + name))
    with archive.open(inside) as source, open(folder / name, "wb") as target:
        shutil.copyfileobj(source, target)
PY
    # A wheel that does not say which machines its program is for is tried.
    if [ -n "$path" ]; then
        chmod 755 "$folder/$1"
        "$folder/$1" --version >/dev/null 2>&1 || { say "the $1 of $package does not run on this machine"; return 1; }
    fi
    place "$folder/$1" "$@"
}

install_go() { # NAME KIND SOURCE VERSION
    have go || { say "no Go toolchain, which builds $1 from source"; return 1; }
    local name=$1 module=${3%%/cmd/*} version=$4 package=. answer directory sum
    [ "$module" = "$3" ] || package=.${3#"$module"}
    answer=$(cd "$work" && go mod download -json "$module@$version") || return 1
    directory=$(sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p' <<<"$answer")
    sum=$(sed -n 's/^\t"Sum": "\(.*\)",*$/\1/p' <<<"$answer")
    pins "$name" h1: | grep -qxF "$sum" || die "module $module $version has the sum $sum, which tools/tools.list does not pin"
    # Built in a copy: FerretDB wants a file beside its sources that says which version it is, and its module has none.
    cp -R "$directory" "$work/$name-src" || return 1
    chmod -R u+w "$work/$name-src" || return 1
    [ ! -d "$work/$name-src/build/version" ] || printf '%s\n' "$version" >"$work/$name-src/build/version/version.txt"
    # A module that is a library only gets the program that lies here under the tool's name.
    if [ -d "$root/tools/$name" ]; then
        cp -R "$root/tools/$name" "$work/$name-src/$name" || return 1
        package=./$name
    fi
    local duration='a minute or two' experiment='' flags='-s -w'
    # Trivy's own release recipe: it reads JSON with an experiment of Go's, and is told its version by the linker.
    if [ "$name" = trivy ]; then
        duration='five minutes on two cores'
        experiment=jsonv2
        flags="$flags -X $module/pkg/version/app.ver=${version#v}"
    fi
    say "building $name $version ($duration)"
    (cd "$work/$name-src" &&
        CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly GOEXPERIMENT=$experiment nice -n 5 \
            go build -buildvcs=false -trimpath -ldflags="$flags" -o "$work/$name" "$package" >&2) || return 1
    place "$work/$name" "$@"
}

install_jq() { # NAME KIND SOURCE VERSION
    python_with_pip || { say "no Python 3.9 or later with pip"; return 1; }
    have make && have cc || { say "no make and C compiler"; return 1; }
    local folder=$work/jq
    mkdir -p "$folder/src"
    fetch_pypi "$folder" "$1" "$3" "$4" --no-binary :all: || return 1
    tar -xzf "$folder"/jq-*.tar.gz -C "$folder"
    tar -xzf "$folder"/jq-*/deps/jq-*.tar.gz -C "$folder/src" --strip-components 1
    say "building jq (a minute)"
    (cd "$folder/src" &&
        ./configure --disable-docs --disable-maintainer-mode --with-oniguruma=builtin --disable-shared --enable-static --enable-all-static=no CFLAGS=-O2 >"$folder/log" 2>&1 &&
        nice -n 5 make -j2 >>"$folder/log" 2>&1) || { tail -n 20 "$folder/log" >&2; return 1; }
    place "$folder/src/jq" "$@"
}

# Built with the lock file of its own, in a folder that fresh clones share: a second build takes seconds.
install_cargo() { # NAME KIND SOURCE VERSION
    have cargo || { say "no Rust toolchain, which builds $1 from source"; return 1; }
    local name=$1 package=$3 version=$4 folder=$work/$1 crate
    say "building $name $version (four minutes on two cores)"
    (cd "$root" && CARGO_TARGET_DIR=${XDG_CACHE_HOME:-$HOME/.cache}/export-center/tools nice -n 5 \
        cargo install --quiet --locked --no-track --root "$folder" --version "=$version" "$package" >&2) || return 1
    crate=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/cache" -name "$package-$version.crate" | head -n 1)
    [ -n "$crate" ] && pins "$name" sha256: | grep -qxF "sha256:$(sha256sum "$crate" | cut -d' ' -f1)" ||
        die "the crate $package $version is not the one that tools/tools.list pins"
    place "$folder/bin/$name" "$@"
}

# Programs go one by one; the first source that works wins.
install_program() { # NAME, then lines KIND SOURCE VERSION on standard input
    local name=$1 kind source version tried=''
    if [ "$name" = nats-server ] && ! [ -x "$bin/$name" ] && have nats-server &&
        at_least "$(nats-server --version 2>/dev/null | sed -n 's/^nats-server: v\([0-9.]*\).*/\1/p')" "$oldest_nats"; then
        return 0
    fi
    local -a lines
    mapfile -t lines
    local line
    for line in "${lines[@]}"; do
        read -r kind source version <<<"$line"
        if is_installed "$name" "$kind" "$source" "$version"; then return 0; fi
    done
    for line in "${lines[@]}"; do
        read -r kind source version <<<"$line"
        say "installing $name from $source $version"
        if "install_$kind" "$name" "$kind" "$source" "$version" </dev/null; then return 0; fi
        tried="$tried $source"
    done
    case $name in
    nats-server) die "cannot install nats-server from$tried" "install nats-server $oldest_nats or later on PATH, or pip for Python 3.9+, or Go" ;;
    *) die "cannot install $name from$tried" "see the message above; to run the tests that need no $name: EXPORT_TESTS_WITHOUT=$name" ;;
    esac
}

# All Python packages at once, from a requirements file with hashes made from the list.
install_python() { # lines NAME SOURCE VERSION on standard input
    local name source version
    local wanted=$work/requirements.txt
    while read -r name source version; do
        printf '%s==%s' "$source" "$version"
        pins "$name" sha256: | while read -r pin; do printf ' --hash=%s' "$pin"; done
        echo
    done >"$wanted"
    [ -s "$wanted" ] || return 0
    if [ -f "$stamps/python" ] && cmp -s "$wanted" "$stamps/python" &&
        "$venv/bin/python" -c 'import sys' 2>/dev/null; then
        return 0
    fi
    find_python || die "no Python 3.9 or later" "install python3 with pip and venv"
    say "installing Python packages into .venv"
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        rm -rf "$venv"
        "$python" -m venv "$venv" >&2 ||
            die "$python cannot make a virtual environment" "install venv and pip (on Debian: apt-get install python3-venv)"
    fi
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes \
        --only-binary :all: -r "$wanted" >&2 ||
        die "cannot install the pinned Python packages" "they are pinned for CPython 3.10 to 3.14 on Linux; see tools/tools.list"
    cp "$wanted" "$stamps/python"
}

# Packages of the system: only what is missing. Lines NAME PACKAGE on standard input.
install_debian() {
    local name package
    local -a missing=() as_root=()
    while read -r name package; do
        have "$name" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" -ne 0 ]; then
        have sudo && sudo -n true 2>/dev/null && as_root=(sudo -n)
    fi
    if ! have apt-get || { [ "$(id -u)" -ne 0 ] && [ ${#as_root[@]} -eq 0 ]; }; then
        die "missing on this machine: ${missing[*]}" "install with the system's package manager (on Debian: apt-get install ${missing[*]})"
    fi
    say "installing ${missing[*]} with apt-get"
    local -a apt=(${as_root[@]+"${as_root[@]}"} env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0)
    "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null ||
        { "${apt[@]}" update >&2 </dev/null && "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 </dev/null; } ||
        die "apt-get cannot install ${missing[*]}" "see its message above"
}

main() {
    local use uses="" name
    [ $# -gt 0 ] || set -- test
    for use in "$@"; do
        case $use in
        demo | test | bench | stack) uses="$uses $use" ;;
        -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" && return 0 ;;
        *) die "there is no use \`$use\`" "tools/install.sh [demo|test|bench|stack]..." ;;
        esac
    done
    mkdir -p "$bin" "$stamps"
    export PATH="$bin:$PATH"
    # Two installers at once would build the same things twice.
    if have flock; then
        exec 9>"$root/.tools/lock"
        flock 9
    fi
    work=$(mktemp -d "$root/.tools/work.XXXXXX")
    # Go leaves its files read-only.
    trap 'chmod -R u+w "$work" 2>/dev/null || true; rm -rf "$work"' EXIT
    trap 'exit 130' INT TERM

    # Lines NAME KIND SOURCE VERSION that are wanted.
    local wanted
    wanted=$(awk -v uses="$uses" -v without="${EXPORT_TESTS_WITHOUT:-}" '
        BEGIN {
            n = split(uses, use, " ")
            m = split(without, left, /[ ,]+/)
            for (i = 1; i <= m; i++) skip[left[i]] = 1
        }
        # The tests know weed as SeaweedFS, by its package.
        { project = $4; sub(/-bin$/, "", project) }
        $1 == "tool" && !($2 in skip) && !(project in skip) {
            for (i = 1; i <= n; i++)
                if (index("," $6 ",", "," use[i] ",")) { print $2, $3, $4, $5; break }
        }' "$list")
    awk '$2 == "debian" { print $1, $3 }' <<<"$wanted" | install_debian
    awk '$2 == "python" { print $1, $3, $4 }' <<<"$wanted" | install_python
    for name in $(awk '$2 != "debian" && $2 != "python" && !seen[$1]++ { print $1 }' <<<"$wanted"); do
        awk -v name="$name" '$1 == name { print $2, $3, $4 }' <<<"$wanted" | install_program "$name"
    done
}

main "$@"
