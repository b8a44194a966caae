#!/bin/bash
# SPDX-License-Identifier: MIT
# check-linkage.sh BUILD: what runs as root may be linked with no library that parses what a remote wrote,
# and the holder and what a session runs first with none at all. Also: every program is PIE with full RELRO.
set -euo pipefail
build=${1:?usage: check-linkage.sh BUILD}
failed=0
fail() {
	echo "check-linkage: $*" >&2
	failed=1
}

needed() {
	LC_ALL=C readelf -d "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'
}

for program in "$build/sbin/fogd" "$build/libexec/cloudshell-fog/spawner"; do
	[ -e "$program" ] || continue
	for lib in $(needed "$program"); do
		case $lib in
		libevent_core-2.* | libseccomp.so.* | libc.so.* | ld-linux-*) ;;
		libnftables.so.* | libmnl.so.*)
			[ "${program##*/}" = spawner ] || fail "$program links $lib"
			;;
		*) fail "$program runs as root and links $lib" ;;
		esac
	done
done

for program in "$build"/libexec/cloudshell-fog/{holder,session-init}; do
	[ -e "$program" ] || continue
	[ -z "$(needed "$program")" ] || fail "$program links $(needed "$program")"
done

for program in "$build/sbin/fogd" "$build/bin/fogctl" "$build"/libexec/cloudshell-fog/*; do
	[ -e "$program" ] || continue
	headers=$(LC_ALL=C readelf -W -h -l -d "$program")
	grep -q 'Type: *DYN' <<<"$headers" || fail "$program is not PIE"
	grep -q 'GNU_RELRO' <<<"$headers" || fail "$program has no RELRO"
	grep -q 'BIND_NOW\|FLAGS_1.*NOW' <<<"$headers" || fail "$program is not linked with -z now"
	grep -q 'GNU_STACK.*RWE' <<<"$headers" && fail "$program has an executable stack"
done
exit $failed
