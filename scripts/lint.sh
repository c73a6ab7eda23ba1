#!/usr/bin/env bash
# The lint gate:  scripts/lint.sh run|fmt MODULE...
#
# Builds the golangci-lint that tools/go.mod pins into the cache, once, and runs it on each module.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${KEYREEVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyreeve}
package=github.com/golangci/golangci-lint/v2/cmd/golangci-lint
what=$1
shift

version=$(go -C "$root/tools" list -m -f '{{.Version}}' "${package%/cmd/*}")
linter=$cache/tools/golangci-lint-$version-$(go env GOVERSION)
if ! "$linter" version 2>/dev/null | grep -qF "version ${version#v} "; then
	echo "lint: building golangci-lint $version (the first time on a machine: about 2 minutes on 2 cores)"
	mkdir -p "$cache/tools"
	new=$(mktemp -d "$cache/tools/.building.XXXXXX")
	trap 'rm -rf "$new"' EXIT
	go -C "$root/tools" build -trimpath -o "$new/golangci-lint" "$package"
	"$new/golangci-lint" version | grep -qF "version ${version#v} " ||
		{ echo "lint: built $version, but it says: $("$new/golangci-lint" version)" >&2 && exit 1; }
	mv -f "$new/golangci-lint" "$linter"
fi

failed=()
for module; do
	cd "$root/$module"
	case $what in
	run)
		echo "lint: $module"
		go mod tidy -diff || failed+=("$module/go.mod is not tidy: run go mod tidy there")
		if [ -n "$(go list ./... 2>/dev/null)" ]; then # tools/kubectl has a go.mod and no package
			"$linter" run --config "$root/.golangci.yml" ./... || failed+=("$module")
		fi
		;;
	fmt) "$linter" fmt --config "$root/.golangci.yml" ./... ;;
	*) echo "lint: run or fmt, not '$what'" >&2 && exit 2 ;;
	esac
done
if [ ${#failed[@]} -gt 0 ]; then
	printf 'lint: FAILED: %s\n' "${failed[@]}" >&2
	exit 1
fi
