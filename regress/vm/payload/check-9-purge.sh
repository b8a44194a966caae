#!/bin/bash
# SPDX-License-Identifier: MIT
# The packages leave, with a session that is alive: then nothing is there that was not before.
. ./lib.sh

removes() {
	dpkg "$@" cloudshell-fog cloudshell-fog-web >>files/dpkg-remove 2>&1 || {
		tail files/dpkg-remove
		return 1
	}
}

nobody_runs() {
	local left
	left=$(pgrep -a -f 'cloudshell-fog|^session-init|^fogd' | grep -v vmtest)
	equal "$left$(find /proc/[0-9]*/exe -lname '/usr/libexec/cloudshell-fog/*' 2>/dev/null)" ''
}

# mounts, loop devices, links, control groups and packet filters: what the kernel has, not the disk.
kernel_is_as_before() {
	diff <(grep '^kernel ' files/before) <(state_of_machine | grep '^kernel ')
}

nothing_is_left() {
	state_of_machine >files/after
	diff files/before files/after
}

session=$(create_session)
check 'remove: there is a session' [ -n "$session" ]
cp /var/lib/cloudshell-fog/audit/audit.jsonl files/
check 'remove: dpkg -r' removes -r
check 'remove: no process is left' wait_for nobody_runs
check 'remove: no mount, loop device, link, group or filter is left' wait_for kernel_is_as_before
check 'remove: the homes are kept' [ -n "$(find /var/lib/cloudshell-fog/homes -type f)" ]
check 'remove: the images are kept' [ -s /var/lib/cloudshell-fog/images/index ]
check 'remove: the configuration is kept' [ -s /etc/cloudshell-fog/policy.yaml ]
check 'remove: the audit log is kept' [ -s /var/lib/cloudshell-fog/audit/audit.jsonl ]
check 'remove: the users are kept' getent passwd cloudshell-fog-auth
check 'purge: dpkg -P' removes -P
check 'purge: no file, user, mount, group is left' nothing_is_left
