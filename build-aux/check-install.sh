#!/bin/bash
# SPDX-License-Identifier: MIT
# check-install.sh DIR: installs below DIR, twice, and holds what is there against the list of what belongs
# there. Man pages and units are held against the tree.
set -euo pipefail
shopt -s nullglob
root=$PWD/${1:?usage: check-install.sh DIR}
rm -rf "$root"
make --no-print-directory -s install DESTDIR="$root" prefix=/usr

expected() {
	echo /usr/sbin/fogd
	echo /usr/bin/fogctl
	printf '/usr/libexec/cloudshell-fog/%s\n' authd fetcher gatewayd holder placerd prober ptyd session-init spawner
	echo /usr/share/cloudshell-fog/web/index.html
	printf '/etc/cloudshell-fog/%s\n' gateway.env policy.yaml
	echo /usr/lib/sysusers.d/cloudshell-fog.conf
	echo /usr/lib/tmpfiles.d/cloudshell-fog.conf
	printf '/usr/share/doc/cloudshell-fog/%s\n' LICENSE PROTOCOL README.md README.privsep openapi.json \
		fleet.md identity.md placement-figures.md sandbox.md examples/nodes.yaml
	echo /usr/share/bash-completion/completions/fogctl
	echo /usr/share/zsh/vendor-completions/_fogctl
	echo /usr/share/fish/vendor_completions.d/fogctl.fish
	local page unit
	for page in man/*.[158]; do
		echo "/usr/share/man/man${page##*.}/${page##*/}"
	done
	for unit in etc/systemd/*.service; do
		echo "/usr/lib/systemd/system/${unit##*/}"
	done
}

failed=0
while read -r file; do
	if [ ! -s "$root$file" ]; then
		echo "check-install: missing or empty: $file" >&2
		failed=1
	fi
done < <(expected)

# Nothing but the page's hashed files, documents and the listed ones.
while read -r file; do
	case $file in
	/usr/share/cloudshell-fog/web/* | /usr/share/doc/cloudshell-fog/* | /usr/lib/systemd/system/*) ;;
	*)
		if ! expected | grep -xF "$file" >/dev/null; then
			echo "check-install: not on the list: $file" >&2
			failed=1
		fi
		;;
	esac
done < <(cd "$root" && find . -type f | sed 's/^\.//')

if [ -n "$(find "$root" \( -type f -o -type d \) -perm /022)" ]; then
	echo "check-install: writable by others:" "$(find "$root" -perm /022)" >&2
	failed=1
fi

# An administrator's configuration survives the next version.
echo '# mine' >>"$root/etc/cloudshell-fog/policy.yaml"
make --no-print-directory -s install DESTDIR="$root" prefix=/usr >/dev/null
if ! grep -qx '# mine' "$root/etc/cloudshell-fog/policy.yaml"; then
	echo "check-install: a changed policy.yaml was overwritten" >&2
	failed=1
fi
[ $failed = 0 ] && echo "check-install: $(find "$root" -type f | wc -l) files in place"
exit $failed
