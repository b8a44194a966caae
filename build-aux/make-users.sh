#!/bin/bash
# SPDX-License-Identifier: MIT
# make-users.sh FILE: makes the system users of a sysusers.d(5) file that do not exist yet, also where
# systemd is not installed. Knows the lines that our own file has: u NAME - "GECOS" - -
set -euo pipefail
file=${1:?usage: make-users.sh FILE}

mapfile -t users < <(awk '$1 == "u" { print $2 }' "$file")
missing=()
for user in "${users[@]}"; do
	getent passwd "$user" >/dev/null || missing+=("$user")
done
[ ${#missing[@]} -gt 0 ] || exit 0

echo "make-users: making the system users ${missing[*]}"
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers "$PWD/$file"
	exit
fi
for user in "${missing[@]}"; do
	gecos=$(awk -F'"' -v user="$user" '$1 ~ "^u[ \t]+" user "[ \t]" { print $2 }' "$file")
	getent group "$user" >/dev/null || groupadd --system "$user"
	useradd --system --gid "$user" --comment "$gecos" --home-dir / --no-create-home \
		--shell /usr/sbin/nologin "$user"
done
