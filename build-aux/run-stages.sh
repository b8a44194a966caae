#!/bin/bash
# SPDX-License-Identifier: MIT
# run-stages.sh TITLE NAME COMMAND [NAME COMMAND]...: runs every command, also after one has failed, and
# ends with one line per stage: result, seconds, name. Fails if any of them did.
set -uo pipefail
title=${1:?usage: run-stages.sh TITLE NAME COMMAND...}
shift
summary=()
failed=0
began=$SECONDS
while [ $# -ge 2 ]; do
	printf '\n== %s\n' "$1"
	start=$SECONDS
	if bash -c "$2"; then
		result=ok
	else
		result=FAILED
		failed=1
	fi
	summary+=("$(printf '%-6s %5ds  %s' $result $((SECONDS - start)) "$1")")
	shift 2
done
printf '\n== %s\n' "$title"
printf '%s\n' "${summary[@]}"
if [ $failed = 0 ]; then
	printf '%s: all passed in %d s\n' "$title" $((SECONDS - began))
else
	printf '%s: FAILED\n' "$title"
fi
exit $failed
