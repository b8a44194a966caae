#!/bin/bash
# SPDX-License-Identifier: MIT
# run-stages.sh TITLE NAME COMMAND [NAME COMMAND]...: runs every command, also after one has failed, and
# ends with one line per stage: result, seconds, name. Fails if any of them did.
#
# A NAME that begins with "& " runs beside the next one, in the processor time that is left over, and its output comes
# after that one's: for what computes, beside what mostly waits.
set -uo pipefail
title=${1:?usage: run-stages.sh TITLE NAME COMMAND...}
shift
summary=()
failed=0
began=$SECONDS
beside=
beside_pid=
scratch=$(mktemp -d) || exit
trap '[ -z "$beside_pid" ] || kill -- -"$beside_pid"; rm -rf "$scratch"' EXIT

# NAME SECONDS STATUS
add_result() {
	local result=ok
	if [ "$3" != 0 ]; then
		result=FAILED
		failed=1
	fi
	summary+=("$(printf '%-6s %5ds  %s' $result "$2" "$1")")
}

# In a process group of its own, to be ended as one. Its scheduling group (sched(7), autogroup) has to give way as well.
begin_beside() {
	beside=${1#& }
	echo 0 >"$scratch/seconds"
	setsid chrt --idle 0 bash -c '{ echo 19 >/proc/self/autogroup; } 2>/dev/null
		bash -c "$1"; status=$?; echo $SECONDS >"$0"; exit $status' "$scratch/seconds" "$2" \
		>"$scratch/output" 2>&1 </dev/null &
	beside_pid=$!
}

end_beside() {
	local status seconds
	wait "$beside_pid"
	status=$?
	beside_pid=
	read -r seconds <"$scratch/seconds"
	printf '\n== %s (beside the former)\n' "$beside"
	cat "$scratch/output"
	add_result "$beside" "$seconds" $status
}

while [ $# -ge 2 ]; do
	if [[ $1 == '& '* ]]; then
		begin_beside "$1" "$2"
		shift 2
		continue
	fi
	printf '\n== %s\n' "$1"
	start=$SECONDS
	bash -c "$2"
	add_result "$1" $((SECONDS - start)) $?
	[ -z "$beside_pid" ] || end_beside
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
