#!/bin/bash
# SPDX-License-Identifier: MIT
# The service under systemd: it starts, serves a session, and whatever systemd does to it, the session stays.
. ./lib.sh

one_pid() {
	[[ $1 =~ ^[0-9]+$ ]] || {
		echo "not one process: '$1'"
		return 1
	}
}

starts() {
	systemctl start $unit || {
		journalctl --no-pager -u $unit -n 30
		return 1
	}
}

killed_is_replaced() {
	local now
	now=$(main_pid)
	[ "$now" != 0 ] && differ "$now" "$1" && is_ready
}

reload_is_refused() {
	! systemctl reload $unit
}

session_is_over() {
	[ -z "$(pids_of holder)$(shells)" ] || {
		echo "holder $(pids_of holder), shell $(shells)"
		return 1
	}
}

check 'start: systemctl start' starts || exit
check 'start: the unit is active' equal "$(systemctl is-active $unit)" active
check 'start: /readyz is ready' wait_for is_ready
check 'start: the journal has event=ready' wait_for journal_has event=ready 0
check 'start: the page is served' api GET /

session=$(create_session)
check 'session: POST /v1/sessions makes one' [ -n "$session" ] || {
	explain
	exit
}
holder=$(pids_of holder)
shell=$(shells)
check 'session: it has a holder' one_pid "$holder"
check 'session: it has a shell' one_pid "$shell"
# shellcheck disable=SC2016 # the session's shell expands it
check 'session: a line typed is answered' type_line "$session" 'echo $((6*7))' '^42$'
check 'session: a variable is set' type_line "$session" 'kept="as it was"; echo "stor"ed' '^stored$'

before=$(main_pid)
check 'restart: systemctl restart' systemctl restart $unit
check 'restart: fogd is another process' differ "$(main_pid)" "$before"
check 'restart: /readyz is ready' wait_for is_ready
still_there restart

before=$(main_pid)
check 'kill: SIGKILL to the main process' systemctl kill -s KILL --kill-whom=main $unit
check 'kill: systemd starts another, and it is ready' wait_for killed_is_replaced "$before"
still_there kill

before=$(main_pid)
began=$(date +%s)
check 'reload: systemctl reload' systemctl reload $unit
check 'reload: the journal has event=reloaded' wait_for journal_has event=reloaded "$began"
check 'reload: fogd is the same process' equal "$(main_pid)" "$before"
cp /etc/cloudshell-fog/policy.yaml /root/policy.yaml
echo 'no such key: 1' >>/etc/cloudshell-fog/policy.yaml
check 'reload: a bad policy fails systemctl reload' reload_is_refused
check 'reload: and the service goes on' is_ready
cat /root/policy.yaml >/etc/cloudshell-fog/policy.yaml
still_there reload

check 'stop: systemctl stop' systemctl stop $unit
check 'stop: the roles are gone' equal "$(pids_of fogd)$(pids_of gatewayd)$(pids_of ptyd)$(pids_of spawner)" ''
check 'stop: the unit has not failed' equal "$(systemctl is-failed $unit)" inactive
check 'stop: the holder is the same process' equal "$(pids_of holder)" "$holder"
check 'stop: systemctl start finds the session' starts
check 'stop: /readyz is ready' wait_for is_ready
still_there stop

check 'end: DELETE ends the session' api DELETE "/v1/sessions/$session"
check 'end: holder and shell are gone' wait_for session_is_over
