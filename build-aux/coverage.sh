#!/bin/bash
# SPDX-License-Identifier: MIT
# coverage.sh BUILD LEAST SOURCE...: prints the share of lines that the unit tests ran, and fails if it is
# below LEAST per cent for one of the sources.
set -euo pipefail
build=${1:?usage: coverage.sh BUILD LEAST SOURCE...}
least=${2:?usage: coverage.sh BUILD LEAST SOURCE...}
shift 2
failed=0
for source in "$@"; do
	object=$build/obj/${source%.c}.o
	percent=$(LC_ALL=C gcov -n -o "$object" "$source" 2>/dev/null |
		awk -v file="File '$source'" '$0 == file { found = 1 }
			found && /^Lines executed:/ { sub(/.*:/, ""); sub(/%.*/, ""); print; exit }')
	if [ -z "$percent" ]; then
		echo "FAILED  $source: no test ran it"
		failed=1
	elif awk -v p="$percent" -v l="$least" 'BEGIN { exit p >= l }'; then
		echo "FAILED  $source: $percent % of lines, $least wanted"
		failed=1
	else
		echo "ok      $source: $percent % of lines"
	fi
done
exit $failed
