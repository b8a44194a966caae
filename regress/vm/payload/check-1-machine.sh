#!/bin/bash
# SPDX-License-Identifier: MIT
# What the other checks take for granted of the machine they run on.
. ./lib.sh

has_controllers() {
	local name
	for name in cpu io memory pids; do
		grep -qw $name /sys/fs/cgroup/cgroup.controllers || {
			echo "no controller $name: $(cat /sys/fs/cgroup/cgroup.controllers)"
			return 1
		}
	done
}

has_landlock() {
	mountpoint -q /sys/kernel/security || mount -t securityfs none /sys/kernel/security
	tr , '\n' </sys/kernel/security/lsm | grep -x landlock
}

check 'machine: systemd is PID 1' equal "$(cat /proc/1/comm)" systemd
check 'machine: cgroup v2 with cpu, io, memory and pids' has_controllers
check 'machine: Landlock is in use' has_landlock
check 'machine: no unit has failed' equal "$(systemctl --failed --plain --no-legend)" ''
