#!/bin/bash
# SPDX-License-Identifier: MIT
# package.sh PAGE OUT: the Debian packages of the tree as it is, in OUT/debs, with the page in the directory PAGE; and
# in OUT/debs/next the same cloudshell-fog by a later version, for an upgrade. No network, and no root.
set -euo pipefail
# What make was told (B=...) is for the tree around it, not for the package's.
unset MAKEFLAGS MFLAGS MAKEOVERRIDES
usage="usage: package.sh PAGE OUT"
page=${1:?$usage} out=${2:?$usage}
work=$(mktemp -d "${TMPDIR:-/var/tmp}/vm-package.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
began=$SECONDS

# What git would take, as it is in the tree now.
copy_tree() {
	mkdir "$work/src"
	git ls-files -z --cached --others --exclude-standard |
		while IFS= read -r -d '' file; do
			if [ -e "$file" ]; then printf '%s\0' "$file"; fi
		done | tar --null -T - -cf - | tar -C "$work/src" -xf -
}

# What debian/rules takes for the page comes from here or from web/node_modules; never from the network.
add_page() {
	if (cd "$work/src" && debian/rules page) >"$work/log" 2>&1 ||
		! grep -q 'neither a page in debian/page nor web/node_modules' "$work/log"; then
		fail 'debian/rules says nothing of a page that is missing'
	fi
	mkdir "$work/src/debian/page"
	cp "$page"/* "$work/src/debian/page/"
}

fail() {
	tail -n 40 "$work/log" >&2
	echo "vm/package.sh: $*" >&2
	exit 1
}

# The unit tests have their place elsewhere. -d: node and npm are not needed with a page.
build() {
	local jobs
	jobs=$(nproc)
	export DEB_BUILD_OPTIONS="nocheck parallel=$jobs"
	(cd "$work/src" && dpkg-buildpackage -d -us -uc -b -Ppkg.cloudshell-fog.page) >"$work/log" 2>&1 ||
		fail 'the packages could not be built'
}

look() {
	lintian --allow-root --tag-display-limit 0 --fail-on error "$work"/*.changes >"$work/log" 2>&1 ||
		fail 'lintian has errors'
}

# An upgrade of one file more than the version number: the programs of the two are the same build.
make_next() {
	local deb version
	deb=$(echo "$work"/cloudshell-fog_*.deb)
	version=$(dpkg-deb -f "$deb" Version)
	dpkg-deb -R "$deb" "$work/next"
	sed -i "s/^Version: .*/Version: $version+next/" "$work/next/DEBIAN/control"
	echo "next" >"$work/next/usr/share/doc/cloudshell-fog/next"
	mkdir "$work/debs/next"
	dpkg-deb --root-owner-group -Zgzip -z1 -b "$work/next" "$work/debs/next/" >/dev/null
}

copy_tree
add_page
build
look
mkdir "$work/debs"
cp "$work"/cloudshell-fog_*.deb "$work"/cloudshell-fog-web_*.deb "$work/debs/"
make_next
rm -rf "$out/debs"
mkdir -p "$out"
cp -R "$work/debs" "$out/"
echo "vm/package.sh: $(basename "$out"/debs/cloudshell-fog_*.deb), in $((SECONDS - began)) s"
