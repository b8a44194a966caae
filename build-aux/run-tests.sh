#!/bin/bash
# SPDX-License-Identifier: MIT
# run-tests.sh unit|fuzz|integration DIR TEST...: runs the tests, TEST_JOBS at a time, each with a deadline
# and its own log in DIR/log, and prints one line for each. The log of a failed test follows its line.
set -uo pipefail
kind=${1:?usage: run-tests.sh unit|fuzz|integration DIR TEST...}
dir=${2:?usage: run-tests.sh unit|fuzz|integration DIR TEST...}
shift 2
jobs=${TEST_JOBS:-2}
fuzz_seconds=${FUZZ_SECONDS:-5}
logs=$dir/log
mkdir -p "$logs"

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:abort_on_error=0:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}

run_unit() {
	timeout -k 5 "${TEST_TIMEOUT:-120}" "$dir/unit/$1"
}

# First every seed once, then new inputs for a while, starting from the seeds.
run_fuzz() {
	local seeds=regress/fuzz/seeds/${1#fuzz_} dict=regress/fuzz/${1#fuzz_}.dict
	local corpus=$dir/corpus/$1 args=(-timeout=10 -rss_limit_mb=1024 -print_final_stats=1)
	args+=("-artifact_prefix=$dir/$1-")
	[ -e "$dict" ] && args+=("-dict=$dict")
	mkdir -p "$corpus"
	if [ -d "$seeds" ]; then
		"$dir/fuzz/$1" "${args[@]}" -runs=0 "$seeds" || return
		set -- "$1" "$seeds"
	fi
	timeout -k 5 $((fuzz_seconds + 60)) "$dir/fuzz/$1" "${args[@]}" -max_total_time="$fuzz_seconds" \
		"$corpus" "${@:2}"
}

run_integration() {
	timeout -k 10 "${TEST_TIMEOUT:-300}" node --test --test-reporter=spec "$1"
}

# What a log says about how much was tested.
count() {
	case $kind in
	unit) sed -n 's/.*\[  PASSED  \] \([0-9]* test\).*/\1s/p' "$1" ;;
	fuzz) sed -n 's/^stat::number_of_executed_units: *\(.*\)/\1 runs/p' "$1" ;;
	integration) sed -n 's/^ℹ \(tests [0-9]*\)$/\1/p; s/^ℹ \(skipped [1-9][0-9]*\)$/\1/p' "$1" ;;
	esac | tail -2 | paste -sd, -
}

one() {
	local name start=$EPOCHREALTIME took result=ok
	name=$(basename "$1" .test.mjs)
	"run_$kind" "$1" >"$logs/$name.log" 2>&1 </dev/null
	local status=$?
	[ $status = 0 ] || result=FAILED
	took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	{
		flock 9
		printf '%-6s %-28s %7s s  %s\n' $result "$name" "$took" "$(count "$logs/$name.log")"
		if [ $status != 0 ]; then
			[ $status = 124 ] && echo "    deadline passed"
			tail -n 150 "$logs/$name.log" | sed 's/^/    /'
			echo "    (whole log: $logs/$name.log)"
		fi
	} 9>"$logs/.lock"
	return $status
}

total=$#
failed=0
running=0
for test in "$@"; do
	if [ $running -ge "$jobs" ]; then
		wait -n || failed=$((failed + 1))
		running=$((running - 1))
	fi
	one "$test" &
	running=$((running + 1))
done
while [ $running -gt 0 ]; do
	wait -n || failed=$((failed + 1))
	running=$((running - 1))
done
printf '%s: %d of %d passed\n' "$kind" $((total - failed)) "$total"
[ $failed = 0 ]
