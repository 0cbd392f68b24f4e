#!/usr/bin/env bash
# Runs a command as a named phase and says how long it took: phase.sh NAME COMMAND...
set -uo pipefail
name=$1
shift
printf '\n=== %s\n' "$name"
start=$SECONDS
"$@"
status=$?
if [ "$status" -eq 0 ]; then outcome=ok; else outcome="failed with $status"; fi
printf '=== %s: %s, %d s\n' "$name" "$outcome" "$((SECONDS - start))"
exit "$status"
