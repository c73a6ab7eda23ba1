#!/usr/bin/env bash
# Runs benchmarks as text, in every package that declares one:
#
#   scripts/bench.sh all        all but the comparisons
#   scripts/bench.sh compare    only those with Compare in their name: Keyreeve beside its peers
#
# More arguments go to go test (-count 6, -benchtime 2s, ...). It fails when there is nothing to run.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
what=$1
shift
case $what in
all) declared='^func Benchmark([ABD-Z_0-9]|C[^o])' select=(-bench . -skip Compare) ;;
compare) declared='^func Benchmark[A-Za-z_0-9]*Compare' select=(-bench Compare) ;;
*) echo "bench: all or compare, not '$what'" >&2 && exit 2 ;;
esac

found=
for module in . localkube bench; do
	[ -f "$module/go.mod" ] || continue
	mapfile -t packages < <(
		find "$module" -path ./localkube -prune -o -path ./bench -prune -o -path ./tools -prune -o -name testdata -prune -o -name '.?*' -prune -o \
			-name '*_test.go' -exec grep -lE "$declared" {} + | while read -r file; do dirname "./${file#"$module"/}"; done | sort -u
	)
	[ ${#packages[@]} -gt 0 ] || continue
	found=yes
	go -C "$module" test -run '^$' "${select[@]}" -benchmem "$@" "${packages[@]}"
done
if [ -z "$found" ]; then
	[ "$what" = all ] && echo "bench: no benchmarks yet" >&2 || echo "bench: no comparison benchmarks yet" >&2
	exit 1
fi
