#!/bin/bash
# SPDX-License-Identifier: MIT
# Limits (S29, R9): what the kernel has is what the profile says, and whatever one session does, it alone suffers: in
# another one an echo takes no longer than 200 ms of a real machine at the 99th percentile. How much slower this one is
# than the one that emulates it is measured by the same program on both, in this run: echo_client speed.
. ./lib.sh

readonly keys=40 flood_seconds=12
readonly small_memory=$((48 << 20)) small_pids=40 small_storage=$((32 << 20))

# The least of five, there as here: what else either machine did then is not its speed. And never more than slowest_factor,
# or whatever an echo takes would do.
readonly slowest_factor=50
here=$(for _ in 1 2 3 4 5; do ./echo_client speed; done | sort -n | head -n 1)
there=$(cat builder_speed)
limit_us=$(awk -v here="$here" -v there="$there" -v most=$slowest_factor 'BEGIN { f = here / there; printf "%d", 200000 * (f < 1 ? 1 : f > most ? most : f) }')
echo "# a round trip between processes: $here us here, $there us on the machine outside: 200 ms are $((limit_us / 1000)) ms"

# group_of PID: the directory of its control group.
group_of() {
	echo "/sys/fs/cgroup$(sed 's/^0:://' "/proc/$1/cgroup")"
}

file_is() {
	equal "$(cat "$group/$1")" "$2"
}

# echo_stays NAME: the victim's echo while the other one does what it does.
echo_stays() {
	local token times p99
	token=$(attach_token "$victim") || return
	times=$(./echo_client echo $port "$victim" "$token" $keys) || return
	echo "# echo, $1: $times" >&3
	p99=${times#*p99_us=}
	[ "${p99%% *}" -lt "$limit_us" ] || {
		echo "p99 over $limit_us us: $times"
		return 1
	}
}

# begin NAME: a session of the profile small, in $hog, its shell in $hog_shell, its group in $group. Not by check, in
# whose shell they would stay.
begin() {
	hog=$(create_session small)
	hog_shell=$(shell_of_newest)
	group=$(group_of "$hog_shell")
	check "$1: a new session, in a group of its own" in_own_group
}

in_own_group() {
	[[ $group == */$sessions_unit/s* ]] || {
		echo "session '$hog', shell '$hog_shell', group '$group'"
		return 1
	}
}

does() {
	local then=';'
	case $1 in
	*'&') then='' ;;
	esac
	type_line "$hog" "$1$then echo start\"ed\"" '^started'
}

ends() {
	api DELETE "/v1/sessions/$hog" >/dev/null
	wait_for is_gone "$group"
}

is_gone() {
	[ ! -e "$1" ]
}

# The unit test that has to be root, alone in a group with all controllers: nothing of it may be left out here.
the_module_holds() {
	systemd-run -q --wait --pipe -p Delegate=yes -p WorkingDirectory="$PWD" -E LD_LIBRARY_PATH=. ./test_cgroup \
		>files/test_cgroup 2>&1 && ! grep SKIPPED files/test_cgroup || {
		cat files/test_cgroup
		return 1
	}
}

above() {
	local now
	now=$(awk -v name="$2" '$1 == name { print $2 }' "$group/$1")
	[ "${now:-0}" -gt 0 ] || {
		echo "$1: $(cat "$group/$1")"
		return 1
	}
}

was_killed_for_memory() {
	is_gone "/proc/$hog_shell" && journalctl --no-pager -q -k -g 'Memory cgroup out of memory'
}

# Of 5 s of time, with a fifth for the length of a period and of this shell's own commands.
uses_half_a_cpu() {
	local began before
	began=$(date +%s%N)
	before=$(awk '$1 == "usage_usec" { print $2 }' "$group/cpu.stat")
	sleep 5
	awk -v before="$before" -v ns=$(($(date +%s%N) - began)) '$1 == "usage_usec" {
		used = ($2 - before) * 1000 / ns
		if (used <= 0.6) exit 0
		print "used " used " CPU"; exit 1 }' "$group/cpu.stat"
}

free_bytes() {
	df --output=avail -B 1 /var/lib/cloudshell-fog | tail -n 1
}

# Not more than its storage is gone of the disk, and what a journal or a log may take.
host_has_room() {
	local gone=$((room - $(free_bytes)))
	[ $gone -lt $((small_storage + (4 << 20))) ] || {
		echo "$gone bytes are gone of the disk"
		return 1
	}
}

check 'limits: the module by itself, on the groups of this kernel' the_module_holds
exec 3>&1
victim=$(create_session default)
check 'limits: it is there' [ -n "$victim" ] || exit
check 'limits: echo while nothing else happens' echo_stays 'nothing else'

begin limits || exit
check 'limits: memory.max is the profile'"'"'s' file_is memory.max $small_memory
check 'limits: no swap' file_is memory.swap.max 0
check 'limits: the group is killed as one' file_is memory.oom.group 1
check 'limits: pids.max is the profile'"'"'s' file_is pids.max $small_pids
check 'limits: io.weight is the profile'"'"'s' file_is io.weight 'default 50'
check 'limits: cpu.max is half a CPU' file_is cpu.max '50000 100000'
check 'limits: the storage is not larger than the profile says' type_line "$hog" \
	"[ \$(df -B 1 --output=size / | tail -n 1) -le $small_storage ] && echo fit\"s\"" '^fits'

check 'memory bomb: starts' does 'tail /dev/zero &'
check 'memory bomb: echo elsewhere' echo_stays 'memory bomb'
check 'memory bomb: its session is killed, as a group' wait_for was_killed_for_memory
check 'memory bomb: the other session goes on' session_goes_on "$victim"
ends

begin 'fork bomb'
check 'fork bomb: starts' does 'bomb() { bomb | bomb & }; bomb'
check 'fork bomb: echo elsewhere' echo_stays 'fork bomb'
check 'fork bomb: it has met pids.max' above pids.events max
check 'fork bomb: DELETE ends it, with all its processes' ends

begin 'disk fill'
room=$(free_bytes)
check 'disk fill: starts' does 'cat /dev/zero >~/fill &'
check 'disk fill: echo elsewhere' echo_stays 'disk fill'
# One block more may find room: ext4 gives back some of what it has set aside, once the first file is written.
check 'disk fill: its disk is full' type_line "$hog" 'wait; cat /dev/zero >~/more || echo no_"more"' '^no_more'
check 'disk fill: that of the machine is not' host_has_room
check 'disk fill: DELETE ends it' ends

begin 'inode fill'
room=$(free_bytes)
check 'inode fill: starts' does '(n=0; while : >~/n$n; do n=$((n+1)); done) 2>~/why &'
check 'inode fill: echo elsewhere' echo_stays 'inode fill'
check 'inode fill: it comes to an end' type_line "$hog" 'wait; echo end"ed"' '^ended'
check 'inode fill: the disk of the machine has room' host_has_room
check 'inode fill: DELETE ends it' ends

begin 'cpu hog x4'
check 'cpu hog x4: starts' does 'for i in 1 2 3 4; do while :; do :; done & done'
check 'cpu hog x4: echo elsewhere' echo_stays 'cpu hog x4'
check 'cpu hog x4: it gets half a CPU' uses_half_a_cpu
check 'cpu hog x4: it is throttled' above cpu.stat nr_throttled
check 'cpu hog x4: DELETE ends it' ends

begin 'flood'
token=$(attach_token "$hog")
./echo_client drain $port "$hog" "$token" $flood_seconds yes >files/flood 2>&1 &
drain=$!
check 'flood: echo elsewhere' echo_stays flood
wait $drain
check 'flood: it flows' grep -qE 'bytes=[0-9]{6}' files/flood
echo "# flood: $(cat files/flood) in $flood_seconds s"
check 'flood: DELETE ends it' ends

check 'limits: the session left alone goes on' session_goes_on "$victim"
check 'limits: and ends' api DELETE "/v1/sessions/$victim"
