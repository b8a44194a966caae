#!/bin/bash
# SPDX-License-Identifier: MIT
# check-package.sh [OUTDIR]: builds the Debian packages from a clean copy of the tree, looks at them with lintian, and
# in a fresh root of Debian installs, starts, changes, reinstalls, removes and purges them. As root, with the network
# of Debian's packages. The packages go to OUTDIR, if one is named. What needs a running systemd is not looked at here.
set -euo pipefail
# What make was told (B=...) is for the tree around it, not for the package's.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
cd "$(dirname "$0")/.."
outdir=${1:-}
suite=bookworm

for command in dpkg-buildpackage dh lintian mmdebstrap npm curl; do
	if ! command -v $command >/dev/null; then
		echo "check-package: skipped, no $command: apt-get install dpkg-dev debhelper lintian mmdebstrap npm curl" >&2
		exit 77
	fi
done
if [ "$(id -u)" != 0 ]; then
	echo "check-package: skipped, only root can fill a root directory" >&2
	exit 77
fi

work=$(mktemp -d "${TMPDIR:-/var/tmp}/check-package.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
stage() {
	echo "== $*"
}
die() {
	echo "check-package: $*" >&2
	exit 1
}

# ---- build --------------------------------------------------------------------------------------------

# What git would take, as it is in the tree now.
copy_tree() {
	mkdir "$work/src"
	git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do
			if [ -e "$file" ]; then printf '%s\0' "$file"; fi
		done | tar --null -T - -cf - | tar -C "$work/src" -xf -
}

build() {
	local unmet=()
	if (cd "$work/src" && debian/rules page) >"$work/page.log" 2>&1; then
		die 'the page was built from nothing'
	fi
	grep -q 'neither a page in debian/page nor web/node_modules' "$work/page.log" ||
		die "no word on the missing page: $(cat "$work/page.log")"
	(cd "$work/src/web" && npm ci --no-audit --no-fund --loglevel=error >/dev/null)
	# Node may come from elsewhere than Debian.
	if ! (cd "$work/src" && dpkg-checkbuilddeps) 2>"$work/unmet"; then
		cat "$work/unmet" >&2
		unmet=(-d)
	fi
	if ! (cd "$work/src" && dpkg-buildpackage "${unmet[@]}" -us -uc -b) >"$work/build.log" 2>&1; then
		tail -n 40 "$work/build.log" >&2
		die 'the packages could not be built'
	fi
	(cd "$work" && ls ./*.deb)
}

# ---- in the fresh root --------------------------------------------------------------------------------

# Runs as mmdebstrap's hook, with the new root in $1. A new file, user or group that a purge leaves shows here.
state_of() {
	find "$1" -xdev \( -path "$1/proc" -o -path "$1/sys" -o -path "$1/dev" -o -path "$1/tmp" -o -path "$1/debs" -o \
		-path "$1/var/cache" -o -path "$1/var/log" -o -path "$1/var/lib/apt" -o -path "$1/var/lib/dpkg" -o \
		-name 'passwd-' -o -name 'shadow-' -o -name 'group-' -o -name 'gshadow-' \) -prune -o -printf '/%P\n' | sort
	cut -d: -f1 "$1/etc/passwd" "$1/etc/group" "$1/etc/shadow" "$1/etc/gshadow" "$1/etc/subuid" "$1/etc/subgid"
	cat "$1/var/lib/dpkg/triggers/File"
	find "$1/var/lib/dpkg/info" "$1/var/lib/systemd" -name '*cloudshell*'
}

# Starts the service of the root $1 on a free port, and sets $url. What is said to $2.
start_service() {
	env -i PATH=/usr/sbin:/usr/bin RUNTIME=stub LISTEN_ADDR=127.0.0.1:0 METRICS_ADDR=off \
		chroot "$1" fogd >"$2" 2>&1 &
	service=$!
	for _ in $(seq 200); do
		url=$(sed -n 's/.*\(127\.0\.0\.1:[1-9][0-9]*\).*/\1/p' "$2" | head -n 1)
		if [ -n "$url" ] && curl -fsS -o "$1/tmp/ready" "http://$url/readyz" 2>/dev/null; then
			return 0
		fi
		sleep 0.1
	done
	cat "$2" >&2
	kill -TERM $service
	die 'the installed service does not answer'
}

stop_service() {
	kill -QUIT $service
	wait $service || die "the service ended with $?"
}

check_installed() {
	local root=$1 log=$2 file user
	for file in usr/sbin/fogd usr/bin/fogctl usr/libexec/cloudshell-fog/session-init usr/libexec/cloudshell-fog/prober \
		usr/share/bash-completion/completions/fogctl usr/share/zsh/vendor-completions/_fogctl \
		usr/share/fish/vendor_completions.d/fogctl.fish usr/share/doc/cloudshell-fog/examples/nodes.yaml \
		lib/systemd/system/cloudshell-fog.service lib/systemd/system/cloudshell-fog-sessions.service usr/lib/sysusers.d/cloudshell-fog.conf \
		usr/lib/tmpfiles.d/cloudshell-fog.conf etc/cloudshell-fog/gateway.env etc/cloudshell-fog/policy.yaml; do
		[ -s "$root/$file" ] || die "not installed: /$file"
	done
	chroot "$root" dpkg-query -W -f '${Conffiles}' cloudshell-fog | awk 'NF { print $1 }' | sort |
		cmp -s - <(printf '/etc/cloudshell-fog/%s\n' gateway.env policy.yaml) || die 'the wrong conffiles'
	for user in $(awk '$1 == "u" { print $2 }' etc/sysusers.d/cloudshell-fog.conf); do
		grep -q "^$user:" "$root/etc/passwd" || die "no user $user"
	done
	grep -c '^cloudshell-fog: .*OIDC_ISSUER_URL.*fogctl image create' "$log" | grep -qx 1 ||
		die 'the installation does not say in one line what comes next'
	for file in cloudshell-fog.service cloudshell-fog-sessions.service; do
		[ -L "$root/etc/systemd/system/multi-user.target.wants/$file" ] || die "not enabled: $file"
	done
	[ "$(stat -c %a "$root/var/lib/cloudshell-fog")" = 711 ] || die 'no /var/lib/cloudshell-fog'
	for file in images homes storage; do
		[ "$(stat -c %a "$root/var/lib/cloudshell-fog/$file")" = 700 ] || die "not closed to others: $file"
	done
}

# With nothing set it starts; off loopback without an identity provider it refuses.
check_refusals() {
	local set
	env -i PATH=/usr/sbin:/usr/bin chroot "$1" fogd -n || die 'fogd -n refuses what is installed'
	for set in LISTEN_ADDR=0.0.0.0:8080 'RUNTIME=stub LISTEN_ADDR=0.0.0.0:8080' 'RUNTIME=stub LISTEN_ADDR=[::]:8080'; do
		# shellcheck disable=SC2086
		if env -i PATH=/usr/sbin:/usr/bin $set chroot "$1" fogd -n >"$work/refusal" 2>&1; then
			die "fogd -n took: $set"
		fi
		echo "refused ($set): $(head -n 1 "$work/refusal")"
	done
}

check_session() {
	local root=$1 made
	start_service "$root" "$work/service.log"
	made=$(curl -fsS -H 'Authorization: Bearer alice' -H 'Content-Type: application/json' \
		-d '{"profile": "default", "ttl_seconds": 60}' "http://$url/v1/sessions")
	grep -q '"session_id"' <<<"$made" || die "no session: $made"
	echo "answers on $url, GET / is $(curl -sS -o "$root/tmp/page" -w '%{http_code}' "http://$url/")"
	stop_service
}

in_root() {
	local root=$1 apt fog_deb web_deb
	shift
	apt=(chroot "$root" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -qq -y -o Dpkg::Use-Pty=0)
	mkdir "$root/debs"
	cp "$@" "$root/debs/"
	fog_deb=$(echo "$root"/debs/cloudshell-fog_*.deb)
	web_deb=$(echo "$root"/debs/cloudshell-fog-web_*.deb)
	stage 'dependencies'
	"${apt[@]}" satisfy "$(dpkg-deb -f "$fog_deb" Depends)" >"$work/apt.log" 2>&1 || die "$(tail "$work/apt.log")"
	fog_deb=${fog_deb#"$root"} web_deb=${web_deb#"$root"}
	state_of "$root" >"$work/before"

	stage 'apt install ./cloudshell-fog_*.deb, alone'
	"${apt[@]}" --no-install-recommends install "$fog_deb" >"$work/install.log" 2>&1 ||
		die "$(tail "$work/install.log")"
	grep '^cloudshell-fog: ' "$work/install.log"
	check_installed "$root" "$work/install.log"
	check_refusals "$root"
	check_session "$root"

	stage 'with the page'
	"${apt[@]}" install "$web_deb" >"$work/web.log" 2>&1 ||
		die "$(tail "$work/web.log")"
	check_session "$root"
	grep -q '<!doctype html>' <(tr '[:upper:]' '[:lower:]' <"$root/tmp/page") || die 'GET / is not the page'

	stage 'installed again over a changed policy.yaml'
	echo '# mine' >>"$root/etc/cloudshell-fog/policy.yaml"
	"${apt[@]}" --reinstall install "$fog_deb" >"$work/again.log" 2>&1 ||
		die "$(tail "$work/again.log")"
	tail -n 1 "$root/etc/cloudshell-fog/policy.yaml" | grep -qx '# mine' || die 'policy.yaml was overwritten'
	if grep -q '^cloudshell-fog: ' "$work/again.log"; then
		die 'an upgrade speaks as a first installation does'
	fi

	stage 'remove: configuration, state and users stay'
	"${apt[@]}" remove cloudshell-fog cloudshell-fog-web >"$work/remove.log" 2>&1 || die "$(tail "$work/remove.log")"
	[ ! -e "$root/usr/sbin/fogd" ] || die 'fogd is still there'
	[ -s "$root/etc/cloudshell-fog/policy.yaml" ] || die 'remove took the configuration'
	[ -s "$root/var/lib/cloudshell-fog/audit/audit.jsonl" ] || die 'remove took the audit log'
	grep -q '^cloudshell-fog-auth:' "$root/etc/passwd" || die 'remove took a user'

	stage 'purge: nothing stays'
	touch "$root/etc/cloudshell-fog/signing-key"
	rm -f "$root"/tmp/*
	"${apt[@]}" purge cloudshell-fog cloudshell-fog-web >"$work/purge.log" 2>&1 || die "$(tail "$work/purge.log")"
	state_of "$root" >"$work/after"
	diff "$work/before" "$work/after" || die 'this was not there before, or is no more'
	echo "files, users, groups and triggers are as before: $(wc -l <"$work/after") lines compared"
}

# ---- all of it ----------------------------------------------------------------------------------------

if [ "${1:-}" = --in-root ]; then
	# From below: the hook of mmdebstrap.
	rm -rf "$work"
	work=$2
	trap - EXIT
	shift 2
	in_root "$@"
	exit 0
fi

stage 'build'
copy_tree
build
if [ -n "$outdir" ]; then
	mkdir -p "$outdir"
	cp "$work"/*.deb "$outdir/"
fi
stage 'lintian'
(cd "$work" && lintian --allow-root --tag-display-limit 0 --fail-on error ./*.changes) || die 'lintian has errors'
stage "fresh root ($suite)"
apt_sources=/etc/apt/sources.list.d/debian.sources
[ -e "$apt_sources" ] || apt_sources=/etc/apt/sources.list
mmdebstrap --quiet --variant=minbase --format=null --include=ca-certificates \
	--customize-hook="'$PWD/build-aux/check-package.sh' --in-root '$work' \"\$1\" $(printf "'%s' " "$work"/*.deb)" \
	$suite /dev/null "$apt_sources"
echo 'check-package: all passed'
