#!/usr/bin/env bash
# Installs the real clients that the tests run, each at the version pinned here, and links them in bin/clients.
#
#   scripts/clients.sh [kubectl|kubelogin|helm|az|az-2.45|browser|postgres]...     (none named: all)
#
# Nothing on the host changes, except that `browser` and `postgres` install Debian's Chromium and
# PostgreSQL where there are none. Each client lives
# in the cache (see cache_dir) in a folder named for its version. A folder is built aside, run to see its version, and
# only then renamed into place: one that is there is complete. It is run again here before it is believed.
set -eEuo pipefail

kubectl_version=v1.37.2
kubelogin_version=v0.2.21
helm_version=v3.22.0

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bin=$root/bin/clients
cache=${KEYREEVE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyreeve}
clients=$cache/clients
platform=$(go env GOOS)-$(go env GOARCH)
work='' # where the client being installed is built; removed at exit

say() { printf 'clients: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'say "line $LINENO: $BASH_COMMAND failed"' ERR

# install_once NAME FOLDER VERSION: makes sure that $clients/FOLDER holds NAME at VERSION, building it when it does not.
# It calls build_NAME DIR, which fills DIR, and version_NAME DIR, which prints the version that DIR's program says.
install_once() {
	local name=$1 folder=$2 want=$3 have=''
	local home=$clients/$folder start=$SECONDS
	mkdir -p "$clients"
	exec 9>"$clients/.$folder.lock"
	flock 9 # two runs of make at once: the second waits, and then finds the work done
	if [ -d "$home" ]; then
		have=$("version_$name" "$home") || true
		if [ "$have" = "$want" ]; then
			say "$name $want is there"
			exec 9>&-
			return
		fi
		say "$name in $home says '${have:-nothing}', not $want: installing it again"
	else
		say "$name $want: installing"
	fi
	work=$(mktemp -d "$clients/.building-$folder.XXXXXX")
	"build_$name" "$work" "$want"
	have=$("version_$name" "$work") || true
	[ "$have" = "$want" ] || die "$name was built, but says it is '${have:-nothing}' where $want was wanted"
	rm -rf "$home"
	mv "$work" "$home"
	work=
	exec 9>&-
	say "$name $want: installed in $((SECONDS - start)) s"
}

# link NAME TARGET: bin/clients/NAME is TARGET.
link() {
	mkdir -p "$bin"
	ln -sfn "$2" "$bin/$1.new.$$"
	mv -fT "$bin/$1.new.$$" "$bin/$1"
}

# --- kubectl, from its own Go module -------------------------------------------------------------------------------

build_kubectl() {
	local dir=$1 version=$2 minor=${2#v1.}
	local flags='' package
	for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
		flags+=" -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
		flags+=" -X $package.gitTreeState=archive"
	done
	go -C "$root/tools/kubectl" build -trimpath -ldflags "$flags" -o "$dir/kubectl" k8s.io/kubernetes/cmd/kubectl
}

version_kubectl() { "$1/kubectl" version --client 2>/dev/null | sed -n 's/^Client Version: //p'; }

kubectl() {
	local pinned
	pinned=$(go -C "$root/tools/kubectl" list -m -f '{{.Version}}' k8s.io/kubernetes)
	[ "$pinned" = "$kubectl_version" ] || die "tools/kubectl/go.mod pins $pinned, this script $kubectl_version"
	install_once kubectl "kubectl-$kubectl_version-$platform" "$kubectl_version"
	link kubectl "$clients/kubectl-$kubectl_version-$platform/kubectl"
}

# --- Azure's kubelogin, from its own Go module ---------------------------------------------------------------------

build_kubelogin() {
	GOBIN=$1 go install -trimpath -ldflags "-X main.gitTag=$2" "github.com/Azure/kubelogin@$2"
}

version_kubelogin() { "$1/kubelogin" --version 2>/dev/null | sed -n 's/^git hash: \(v[0-9.]*\).*/\1/p'; }

kubelogin() {
	install_once kubelogin "kubelogin-$kubelogin_version-$platform" "$kubelogin_version"
	link kubelogin "$clients/kubelogin-$kubelogin_version-$platform/kubelogin"
}

# --- Helm, from its own Go module ----------------------------------------------------------------------------------

build_helm() {
	local flags="-X helm.sh/helm/v3/internal/version.version=$2 -X helm.sh/helm/v3/internal/version.gitTreeState=archive"
	GOBIN=$1 go install -trimpath -ldflags "$flags" "helm.sh/helm/v3/cmd/helm@$2"
}

version_helm() { "$1/helm" version --template '{{.Version}}' 2>/dev/null; }

helm() {
	install_once helm "helm-$helm_version-$platform" "$helm_version"
	link helm "$clients/helm-$helm_version-$platform/helm"
}

# --- az, from two Debian releases ----------------------------------------------------------------------------------
#
# The packages that azure-cli needs are fetched with an apt of our own (its state in the folder being built) and
# unpacked there: no root, no chroot, and the host's packages do not matter. az then runs on the host's files and
# network with the folder's own loader, C library and Python. Their maintainer scripts are not run; nothing az does
# needs what they would set up.

# debian_mirror prints the address that this machine gets Debian from.
debian_mirror() {
	if [ -n "${KEYREEVE_DEBIAN_MIRROR:-}" ]; then
		echo "$KEYREEVE_DEBIAN_MIRROR"
		return
	fi
	# shellcheck disable=SC2016 # these are apt's variables
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' 'Created-By: Packages' |
		awk -F'|' '$1 == "Debian" && $2 == "Debian" { print $3; exit }'
}

# fetch_debian DIR SUITE PACKAGE VERSION: unpacks PACKAGE and all it needs into DIR/root.
fetch_debian() {
	local dir=$1 suite=$2 package=$3 version=$4 mirror served deb
	local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	command -v apt-get >/dev/null || die "az comes from Debian's packages, and there is no apt-get here (see CONTRIBUTING.md)"
	[ -r "$keyring" ] || die "$keyring is missing: install debian-archive-keyring"
	if [ -z "$(debian_mirror)" ] && [ "$(id -u)" = 0 ]; then
		apt-get update -qq # a fresh machine knows no index yet
	fi
	mirror=$(debian_mirror)
	[ -n "$mirror" ] || die "no Debian mirror: run 'apt-get update' (on Debian), or set KEYREEVE_DEBIAN_MIRROR to one"

	mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/root"
	: >"$dir/apt/status"
	echo "deb [signed-by=$keyring] $mirror $suite main" >"$dir/apt/sources.list"
	local apt=(apt-get -q
		-o "Dir::State=$dir/apt" -o "Dir::State::status=$dir/apt/status" -o "Dir::Cache=$dir/apt"
		-o "Dir::Etc::sourcelist=$dir/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::Etc::preferences=/dev/null -o Dir::Etc::preferencesparts=/dev/null
		-o APT::Sandbox::User=root -o APT::Install-Recommends=false -o Acquire::Languages=none)
	"${apt[@]}" update >"$dir/apt/log" 2>&1 || die "apt-get update for Debian $suite failed: $(tail -n 3 "$dir/apt/log")"
	served=$("${apt[@]}" --simulate install "$package" 2>>"$dir/apt/log" |
		sed -n "s/^Inst $package (\([^ -]*\).*/\1/p")
	[ "$served" = "$version" ] ||
		die "Debian $suite serves $package '${served:-none}', and Keyreeve's tests are written for $version:" \
			"change the version in scripts/clients.sh together with the tests, or set KEYREEVE_DEBIAN_MIRROR" \
			"to a mirror that still has $version"
	"${apt[@]}" --yes --download-only install "$package" >>"$dir/apt/log" 2>&1 ||
		die "fetching $package for Debian $suite failed: $(tail -n 3 "$dir/apt/log")"
	for deb in "$dir"/apt/archives/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$dir/root" --no-same-owner --exclude=./dev \
			--exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale
	done
	rm -rf "$dir/apt"
}

# existing FILE...: prints those that exist, one a line.
existing() {
	local file
	for file; do
		[ ! -e "$file" ] || printf '%s\n' "$file"
	done
}

# az_command DIR: the shell lines that run DIR's az. They are computed again at every run of this script.
az_command() {
	local dir=$1 loader python libraries
	loader=$(cd "$dir/root" && existing {usr/,}lib{64,}/ld-linux*.so.* | head -n 1)
	python=$(cd "$dir/root" && existing usr/bin/python3.[0-9]* | head -n 1)
	libraries=$(existing "$dir"/root/{usr/,}lib/*-linux-gnu | paste -sd:)
	if [ -z "$loader" ] || [ -z "$python" ]; then die "no loader or no Python in $dir/root"; fi
	cat <<-EOF
		#!/bin/sh
		# Written by scripts/clients.sh: az out of its own folder, on this machine's files and network.
		if [ -z "\${AZURE_CONFIG_DIR:-}" ]; then
			  echo "\$0: set AZURE_CONFIG_DIR (this az never uses ~/.azure); 'keyreeve env' prints one" >&2
		  exit 2
		fi
		root='$dir/root'
		unset PYTHONDONTWRITEBYTECODE PYTHONSTARTUP PYTHONSAFEPATH
		export PYTHONHOME="\$root/usr" PYTHONPATH="\$root/usr/lib/python3/dist-packages" PYTHONNOUSERSITE=1
		export PYTHONWARNINGS=ignore AZURE_CORE_COLLECT_TELEMETRY="\${AZURE_CORE_COLLECT_TELEMETRY:-no}"
		# az builds an index of its commands in every new configuration folder; it is always this one.
		index='$dir/commandIndex.json' mine="\$AZURE_CONFIG_DIR/commandIndex.json"
		if [ -d "\$AZURE_CONFIG_DIR" ] && [ ! -e "\$mine" ] && [ -e "\$index" ]; then
		  cp "\$index" "\$mine.\$\$" && mv "\$mine.\$\$" "\$mine"
		fi
		exec "\$root/$loader" --library-path '$libraries' "\$root/$python" -m azure.cli "\$@"
	EOF
}

# finish_az DIR: leaves out the command modules that do not load, and lets az compile itself and write its index.
finish_az() {
	local dir=$1 config
	az_command "$dir" >"$dir/az.tmp"
	chmod +x "$dir/az.tmp"
	config=$(mktemp -d "$dir/config.XXXXXX")
	AZURE_CONFIG_DIR=$config "$dir/az.tmp" version >/dev/null 2>"$dir/stderr" || die "az does not start: $(tail -n 3 "$dir/stderr")"
	[ ! -s "$dir/stderr" ] || die "az version wrote to standard error: $(cat "$dir/stderr")"
	cp "$config/commandIndex.json" "$dir/commandIndex.json"
	rm -rf "$config" "$dir/az.tmp" "$dir/stderr"
}

# block_modules DIR MODULE...: adds to az's own list of command modules that it does not load.
block_modules() {
	local dir=$1 constants=$1/root/usr/lib/python3/dist-packages/azure/cli/core/commands/constants.py list
	shift
	list=$(printf "'%s', " "$@")
	sed -i "s/^BLOCKED_MODS = \[/&$list/" "$constants"
	grep -q "^BLOCKED_MODS = \[$list" "$constants" || die "az no longer has the list of blocked modules in $constants"
}

# version_of_az DIR: what `az version` says, run with DIR's own files.
version_of_az() {
	local dir=$1 config status=0
	config=$(mktemp -d)
	az_command "$dir" >"$config/az" && chmod +x "$config/az" && mkdir "$config/home" &&
		AZURE_CONFIG_DIR=$config/home "$config/az" version --query '"azure-cli-core"' --output tsv 2>/dev/null || status=$?
	rm -rf "$config"
	return "$status"
}

# use_az NAME FOLDER: bin/clients/NAME runs the az in FOLDER.
use_az() {
	mkdir -p "$bin"
	az_command "$clients/$2" >"$bin/$1.new.$$"
	chmod +x "$bin/$1.new.$$"
	mv -fT "$bin/$1.new.$$" "$bin/$1"
}

# The main row. `monitor` and `rdbms` need libraries that Debian 13 does not have in the right version: they would
# print an error at every rebuild of the index, and nothing here uses them.
build_az() {
	fetch_debian "$1" trixie azure-cli "$2"
	block_modules "$1" monitor rdbms
	finish_az "$1"
}
version_az() { version_of_az "$1"; }

# The legacy row: the az that Debian 12 has.
build_az245() {
	fetch_debian "$1" bookworm azure-cli "$2"
	finish_az "$1"
}
version_az245() { version_of_az "$1"; }

az() {
	[ "$(go env GOOS)" = linux ] || die "az comes from Debian's packages: on $(go env GOOS) use a Linux machine or container"
	install_once az "az-2.74.0-trixie-1-$platform" 2.74.0
	use_az az "az-2.74.0-trixie-1-$platform"
}

az_legacy() {
	[ "$(go env GOOS)" = linux ] || die "az comes from Debian's packages: on $(go env GOOS) use a Linux machine or container"
	install_once az245 "az-2.45.0-bookworm-1-$platform" 2.45.0
	use_az az-2.45 "az-2.45.0-bookworm-1-$platform"
}

# --- the browser ---------------------------------------------------------------------------------------------------

browser() {
	local name path='' sudo=()
	for name in chromium chromium-browser google-chrome; do
		path=$(command -v "$name") && break
	done
	if [ -z "$path" ]; then
		command -v apt-get >/dev/null || die "no Chromium and no apt-get: install Chromium so that 'chromium' is on the PATH"
		if [ "$(id -u)" != 0 ]; then
			sudo -n true 2>/dev/null ||
				die "the browser tests need Chromium, and this user may not install it: run 'apt-get install chromium' as root"
			sudo=(sudo -n)
		fi
		say "chromium: installing from the host's Debian packages"
		"${sudo[@]}" apt-get update -qq
		"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
		path=$(command -v chromium) || die "chromium was installed but is not on the PATH"
	fi
	"$path" --version 2>/dev/null | grep -q '[0-9]' || die "$path does not say its version"
	link chromium "$path"
	say "browser: $("$path" --version 2>/dev/null)"
}

# --- PostgreSQL ----------------------------------------------------------------------------------------------------

# The tests start servers of their own from the programs of the host's package; the one that the package may start at
# boot is left alone.
postgres() {
	local found sudo=()
	found=$(existing /usr/lib/postgresql/*/bin/initdb | tail -n 1)
	[ -n "$found" ] || found=$(command -v initdb) || true
	if [ -z "$found" ]; then
		command -v apt-get >/dev/null || die "no PostgreSQL and no apt-get: install PostgreSQL so that 'initdb' is on the PATH"
		if [ "$(id -u)" != 0 ]; then
			sudo -n true 2>/dev/null ||
				die "the store's tests need PostgreSQL, and this user may not install it: run 'apt-get install postgresql' as root"
			sudo=(sudo -n)
		fi
		say "postgresql: installing from the host's Debian packages"
		"${sudo[@]}" apt-get update -qq
		# No cluster: postgresql-common would make one, and start it.
		"${sudo[@]}" mkdir -p /etc/postgresql-common
		[ -e /etc/postgresql-common/createcluster.conf ] ||
			echo 'create_main_cluster = false' | "${sudo[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
		"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null
		found=$(existing /usr/lib/postgresql/*/bin/initdb | tail -n 1)
		[ -n "$found" ] || die "postgresql was installed but has no initdb"
	fi
	say "postgres: $("${found%initdb}postgres" --version)"
}

# -------------------------------------------------------------------------------------------------------------------

[ $# -gt 0 ] || set -- az az-2.45 browser postgres kubelogin kubectl helm
for client in "$@"; do
	case $client in
	kubectl | kubelogin | helm | az | browser | postgres) "$client" ;;
	az-2.45) az_legacy ;;
	*) die "no client '$client': kubectl, kubelogin, helm, az, az-2.45, browser, postgres" ;;
	esac
done
