#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh GROUP...: installs the Debian packages of the groups that are missing, and only those.
# Says nothing and touches no network when nothing is missing.
set -euo pipefail

# "package", or "command=package" where any version of the command will do, wherever it comes from.
declare -A groups=(
	[run]="gcc libc6-dev make autoconf pkg-config ca-certificates libevent-dev libwslay-dev libssl-dev
		libcurl4-openssl-dev libjansson-dev libyaml-dev libseccomp-dev libnftables-dev libmnl-dev mke2fs=e2fsprogs
		node=nodejs npm=npm"
	[test]="clang libclang-rt-14-dev llvm libcmocka-dev openssl curl chromium fonts-dejavu-core
		jq vim-tiny nftables iproute2 skopeo umoci"
	[lint]="clang-format clang-tidy cppcheck mandoc git"
	[vm]="mmdebstrap kmod cpio busybox-static e2fsprogs qemu-system-x86"
	[bench]="bwrap=bubblewrap crun=crun"
	[package]="dpkg-dev debhelper lintian"
)
readonly least_node=18

wanted=()
for group in "$@"; do
	read -r -d '' -a names <<<"${groups[$group]:?no such group: $group}" || true
	wanted+=("${names[@]}")
done

if ! command -v dpkg-query >/dev/null; then
	echo "deps: not a Debian system, install what these packages hold yourself: ${wanted[*]}" >&2
	exit 0
fi

packages=()
missing=()
for name in "${wanted[@]}"; do
	case $name in
	*=*) command -v "${name%%=*}" >/dev/null || missing+=("${name#*=}") ;;
	*) packages+=("$name") ;;
	esac
done
installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
for name in "${packages[@]}"; do
	grep -qx "$name installed" <<<"$installed" || missing+=("$name")
done

if [ ${#missing[@]} -gt 0 ]; then
	echo "deps: missing Debian packages: ${missing[*]}"
	sudo=()
	if [ "$(id -u)" != 0 ]; then
		if ! command -v sudo >/dev/null; then
			echo "deps: neither root nor sudo here; as root: apt-get install ${missing[*]}" >&2
			exit 1
		fi
		sudo=(sudo)
	fi
	apt() {
		"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 "$@" >/dev/null
	}
	install() {
		apt install -y --no-install-recommends "${missing[@]}"
	}
	echo "deps: installing them with apt-get, which may take minutes"
	if ! compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null; then
		apt update
		install
	elif ! install; then
		# The lists may be older than the archive.
		apt update
		install
	fi
fi

version=$(node --version)
major=${version#v}
if [ "${major%%.*}" -lt $least_node ]; then
	echo "deps: node $version is too old: $least_node or later is needed" >&2
	exit 1
fi
