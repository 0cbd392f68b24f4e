# A container engine of the test's own: nothing of it is left on the machine.

start_engine() {
    [ "$(id -u)" -eq 0 ] || { say "needs root, to start a container engine"; exit 1; }
    local program
    for program in dockerd docker docker-compose iptables busybox nats-server weed ferretdb docker-registry prometheus; do
        command -v "$program" >/dev/null || { say "found no $program: tools/install.sh stack"; exit 1; }
    done
    [ -d /sys/class/net/docker0 ] && own_bridge='' || own_bridge=yes
    iptables-save >"$work/iptables"
    dockerd --data-root "$work/data" --exec-root "$work/run" --pidfile "$work/dockerd.pid" --host "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 &
    for _ in $(seq 60); do
        docker version >/dev/null 2>&1 && return 0
        sleep 1
    done
    tail -n 20 "$work/dockerd.log" >&2
    say "no container engine"
    exit 1
}

stop_engine() {
    say "taking it down"
    compose down --volumes --timeout 5 --remove-orphans >/dev/null 2>&1 || true
    if [ -f "$work/dockerd.pid" ]; then
        local pid
        pid=$(cat "$work/dockerd.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 30); do
            [ -d "/proc/$pid" ] || break
            sleep 1
        done
        iptables-restore <"$work/iptables" || true
        [ -z "$own_bridge" ] || ip link delete docker0 2>/dev/null || true
    fi
    awk -v work="$work/" 'index($2, work) == 1 { print $2 }' /proc/mounts | sort -r | xargs -r umount -l
    rm -rf "$work"
}
