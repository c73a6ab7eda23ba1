#!/usr/bin/env bash
# Runs one phase of a long make target, and says how long it took:  scripts/phase.sh NAME COMMAND [ARGUMENT]...
# With KEYREEVE_TIMINGS set to a file, the line goes there too.
set -uo pipefail
name=$1
shift
printf '\n=== %s\n' "$name"
start=$SECONDS
"$@"
status=$?
verdict=ok
[ "$status" = 0 ] || verdict="FAILED ($status)"
line=$(printf '=== %-28s %5d s  %s' "$name" $((SECONDS - start)) "$verdict")
printf '%s\n' "$line"
[ -z "${KEYREEVE_TIMINGS:-}" ] || printf '%s\n' "$line" >>"$KEYREEVE_TIMINGS"
exit "$status"
