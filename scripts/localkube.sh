#!/usr/bin/env bash
# Builds bin/localkube. The first build on a machine compiles Kubernetes, and says so while it does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

flags=()
if [ -f localkube/ldflags ]; then
	flags=(-ldflags "$(tr '\n' ' ' <localkube/ldflags)")
fi
if [ ! -e bin/localkube ]; then
	echo "localkube: building Kubernetes from source. The first time on a machine takes about 10 minutes on 2 cores;" \
		"after that, seconds."
fi
mkdir -p bin
# go build -v names each package that it has to compile; everything else it prints is a message worth showing.
go -C localkube build -v -trimpath "${flags[@]}" -o "$PWD/bin/localkube" . 2>&1 |
	awk -v start="$(date +%s)" '
		/^[a-zA-Z0-9._~\/-]+$/ { n++; if (n % 100 == 0) { "date +%s" | getline now; close("date +%s")
			printf "localkube: %d packages compiled, %d s\n", n, now - start; fflush() }; next }
		{ print; fflush() }'
