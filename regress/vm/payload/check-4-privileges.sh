#!/bin/bash
# SPDX-License-Identifier: MIT
# Each process as systemd has started it, against its row in README.privsep section 3.
. ./lib.sh

declare -Ar capability=(
	[CHOWN]=0 [DAC_OVERRIDE]=1 [FOWNER]=3 [KILL]=5 [SETGID]=6 [SETUID]=7 [SETPCAP]=8 [NET_ADMIN]=12
	[SYS_CHROOT]=18 [SYS_ADMIN]=21
)
readonly session_uid_base=1879048192

# mask NAME...: as /proc/PID/status writes it.
mask() {
	local name bits=0
	for name in "$@"; do
		bits=$((bits | 1 << capability[$name]))
	done
	printf '%016x\n' $bits
}
none=$(mask)
all=$(mask "${!capability[@]}")

# has PID FIELD VALUE
has() {
	local is
	is=$(status_field "$1" "$2")
	equal "$is" "$3" || {
		echo "$2 of process $1"
		return 1
	}
}

ids_are() {
	has "$1" Uid "$2 $2 $2 $2"
}

# caps_are PID MASK: permitted and effective, and nothing that a program it executes would inherit.
caps_are() {
	has "$1" CapPrm "$2" && has "$1" CapEff "$2" && has "$1" CapInh "$none" && has "$1" CapAmb "$none"
}

is_confined() {
	has "$1" NoNewPrivs 1 && has "$1" Seccomp 2
}

check_process() {
	local name=$1 pid=$2 uid=$3 caps=$4
	check "$name: uid $uid alone" ids_are "$pid" "$uid"
	check "$name: capabilities $caps alone" caps_are "$pid" "$caps"
	check "$name: no new privileges, and a filter" is_confined "$pid"
}

is_session_uid() {
	[ "$(status_field "$1" Uid | cut -d ' ' -f 1)" -ge $session_uid_base ]
}

all_in_cgroup() {
	local pid
	for pid in $(pids_of fogd) $(pids_of gatewayd) $(pids_of spawner) $(pids_of holder); do
		grep -q "^0::/system.slice/$unit" "/proc/$pid/cgroup" || {
			echo "process $pid: $(cat "/proc/$pid/cgroup")"
			return 1
		}
	done
}

session=$(create_session)
check 'privileges: a session to look at' [ -n "$session" ] || exit
check_process fogd "$(pids_of fogd)" 0 "$all"
check_process spawner "$(pids_of spawner)" 0 "$all"
while read -r role user; do
	check_process "$role" "$(pids_of "$role")" "$(id -u "cloudshell-fog-$user")" "$none"
done <<-'ROLES'
	gatewayd gateway
	authd auth
	fetcher fetch
	prober probe
	placerd placer
	ptyd pty
ROLES
for name in holder shell; do
	pid=$(if [ $name = holder ]; then pids_of holder; else shells; fi)
	check "$name: an id of the session's own" is_session_uid "$pid"
	check_process $name "$pid" "$(status_field "$pid" Uid | cut -d ' ' -f 1)" "$none"
	check "$name: an empty bounding set" has "$pid" CapBnd "$none"
done
check 'privileges: all of them are in the cgroup of the unit' all_in_cgroup
check 'shell: it is in a group of its own below the other unit' grep -qE "^0::/system.slice/$sessions_unit/s[0-9]+\$" \
	"/proc/$(shells)/cgroup"
check 'privileges: the session ends' api DELETE "/v1/sessions/$session"
