#!/bin/bash
# SPDX-License-Identifier: MIT
# run-tests.sh unit|fuzz|integration DIR TEST...: runs the tests, each with a deadline and its own log in DIR/log,
# and prints one line for each, the slowest of all at the end. The log of a failed test follows its line.
#
# TEST_JOBS at a time, and beside them as many of those that mostly wait, the longest of each first: regress/durations
# says which and how long. TEST_JOBS=1 runs one at a time.
set -uo pipefail
kind=${1:?usage: run-tests.sh unit|fuzz|integration DIR TEST...}
dir=${2:?usage: run-tests.sh unit|fuzz|integration DIR TEST...}
shift 2
jobs=${TEST_JOBS:-2}
fuzz_seconds=${FUZZ_SECONDS:-5}
logs=$dir/log
mkdir -p "$logs"
: >"$logs/.took"

export ASAN_OPTIONS=${ASAN_OPTIONS-detect_leaks=1:abort_on_error=0:strict_string_checks=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS-print_stacktrace=1}

run_unit() {
	timeout -k 5 "${TEST_TIMEOUT:-120}" "$dir/unit/$1"
}

# First every seed once, then new inputs for a while, starting from the seeds. libFuzzer ends in the second after the
# one that it is told.
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
	timeout -k 5 $((fuzz_seconds + 60)) "$dir/fuzz/$1" "${args[@]}" -max_total_time=$((fuzz_seconds - 1)) \
		"$corpus" "${@:2}"
}

# Each in a network of its own where that can be made: another's bridges, addresses and ports are not there, and a
# browser gives up what it loads when an interface comes or goes.
apart=()
if [ "$kind" = integration ] && unshare --net ip link set lo up 2>/dev/null; then
	# It forwards, as egress of sessions needs.
	apart=(unshare --net sh -c 'ip link set lo up && { echo 1 >/proc/sys/net/ipv4/ip_forward; } 2>/dev/null; exec "$@"' apart)
fi

run_integration() {
	"${apart[@]}" timeout -k 10 "${TEST_TIMEOUT:-300}" node --test --test-reporter=spec "$1"
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
	name=$(name_of "$1")
	"run_$kind" "$1" >"$logs/$name.log" 2>&1 </dev/null
	local status=$?
	[ $status = 0 ] || result=FAILED
	took=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
	{
		flock 9
		echo "$took $name" >>"$logs/.took"
		printf '%-6s %-28s %7s s  %s\n' $result "$name" "$took" "$(count "$logs/$name.log")"
		if [ $status != 0 ]; then
			[ $status = 124 ] && echo "    deadline passed"
			tail -n 150 "$logs/$name.log" | sed 's/^/    /'
			echo "    (whole log: $logs/$name.log)"
		fi
	} 9>"$logs/.lock"
	return $status
}

name_of() {
	local name=${1##*/}
	echo "${name%.test.mjs}"
}

# Two queues, the longest first.
busy=()
waiting=()
sort_tests() {
	local name seconds how test
	local -A seconds_of=() how_of=()
	while read -r name seconds how; do
		seconds_of[$name]=$seconds
		how_of[$name]=$how
	done < <(grep '^[a-z]' regress/durations)
	while read -r seconds how test; do
		if [ "$how" = waits ]; then waiting+=("$test"); else busy+=("$test"); fi
	done < <(for test in "$@"; do
		name=$(name_of "$test")
		echo "${seconds_of[$name]:-1} ${how_of[$name]:-works} $test"
	done | sort -s -k1,1nr)
}

# The first lanes are for any test, the others for those that wait.
start_next() {
	local lane=$1
	if [ "$lane" -lt "$jobs" ] && [ ${#busy[@]} -gt 0 ]; then
		test=${busy[0]}
		busy=("${busy[@]:1}")
	elif [ ${#waiting[@]} -gt 0 ]; then
		test=${waiting[0]}
		waiting=("${waiting[@]:1}")
	else
		return
	fi
	TEST_LANE=$lane one "$test" &
	lane_of[$!]=$lane
}

lanes=$((jobs > 1 ? 2 * jobs : 1))
declare -A lane_of=()
failed=0
sort_tests "$@"
for ((lane = 0; lane < lanes; lane++)); do
	start_next "$lane"
done
while [ ${#lane_of[@]} -gt 0 ]; do
	wait -n -p pid || failed=$((failed + 1))
	lane=${lane_of[$pid]}
	unset "lane_of[$pid]"
	start_next "$lane"
done
if [ "$kind" != fuzz ]; then
	echo "$kind: slowest: $(sort -nr "$logs/.took" | head -n 8 | awk '{ printf "%s%s %s s", (NR > 1 ? ", " : ""), $2, $1 }')"
fi
printf '%s: %d of %d passed\n' "$kind" $(($# - failed)) $#
[ $failed = 0 ]
