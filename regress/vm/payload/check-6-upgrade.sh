#!/bin/bash
# SPDX-License-Identifier: MIT
# A session that is alive while the package is upgraded, while a fogd that hangs is replaced by the watchdog, and when the
# machine ends it (R1, R4, R5).
. ./lib.sh

keeper() {
	cat "/sys/fs/cgroup/system.slice/$sessions_unit/keeper/cgroup.procs"
}

upgrades() {
	DEBIAN_FRONTEND=noninteractive dpkg --force-confold -i debs/next/*.deb >files/dpkg-next 2>&1 || {
		cat files/dpkg-next
		return 1
	}
}

# What an administrator has written stays, and nobody is told to begin.
leaves_settings_alone() {
	cmp /etc/cloudshell-fog/policy.yaml files/policy.yaml && ! grep '^cloudshell-fog: ' files/dpkg-next
}

is_another() {
	local now
	now=$(main_pid)
	[ "$now" != 0 ] && differ "$now" "$1" && is_ready
}

# A stopped process is one whose loop does not turn. systemd has said what it died of, then starts the next.
watchdog_bites() {
	local pid
	pid=$(main_pid)
	kill -STOP "$pid"
	wait_for is_another "$pid" && journal_has 'Watchdog timeout' "$1"
}

short_watchdog() {
	mkdir -p /run/systemd/system/$unit.d
	printf '[Service]\nWatchdogSec=4\nTimeoutAbortSec=2\n' >/run/systemd/system/$unit.d/watchdog.conf
	systemctl daemon-reload && systemctl restart $unit && wait_for is_ready
}

session_is_over() {
	[ -z "$(pids_of holder)$(shells)" ]
}

group_is_empty() {
	equal "$(find "/sys/fs/cgroup/system.slice/$sessions_unit" -mindepth 1 -type d 2>/dev/null)" ''
}

session=$(create_session kept)
check 'upgrade: a session' [ -n "$session" ] || exit
holder=$(pids_of holder)
shell=$(shells)
idle=$(keeper)
# shellcheck disable=SC2016 # the session's shell expands it
check 'upgrade: a variable is set' type_line "$session" 'kept="as it was"; echo "stor"ed' '^stored$'

before=$(main_pid)
cp /etc/cloudshell-fog/policy.yaml files/policy.yaml
check 'upgrade: dpkg -i of the next version' upgrades
check 'upgrade: it is installed' equal "$(dpkg-query -W -f '${Version}' cloudshell-fog | grep -o 'next$')" next
check 'upgrade: the settings are left alone, without a word' leaves_settings_alone
check 'upgrade: fogd is another process' wait_for is_another "$before"
check 'upgrade: the unit of the sessions was not restarted' equal "$(keeper)" "$idle"
still_there upgrade

check 'watchdog: a short one' short_watchdog
before=$(main_pid)
sleep 12
check 'watchdog: three times its time pass, and nothing happens' equal "$(main_pid)" "$before"
check 'watchdog: a fogd that hangs is replaced' watchdog_bites "$(date +%s)"
still_there watchdog
rm -r /run/systemd/system/$unit.d
systemctl daemon-reload

# A shell that has the time to writes its history when its terminal hangs up; the home is kept.
check 'end: a line for the history' type_line "$session" 'echo remember"!"' '^remember!'
check 'end: systemctl stop of the sessions' systemctl stop $sessions_unit
check 'end: holder and shell are gone' wait_for session_is_over
check 'end: the service goes on' is_ready
check 'end: the groups are gone' group_is_empty
check 'end: both units start again' systemctl restart $sessions_unit $unit
check 'end: and are ready' wait_for is_ready
session=$(create_session kept)
check 'end: a new session' [ -n "$session" ]
# shellcheck disable=SC2088 # the session's shell expands it
check 'end: the shell had the time to write, and the home was kept' type_line "$session" 'grep -c remember ~/.bash_history' '^[1-9]'
