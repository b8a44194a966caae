#!/bin/bash
# SPDX-License-Identifier: MIT
# Where homes are on a disk of their own, and it is full or can only be read: a session that wants one is refused with the
# cause, nothing of it is left, and once the disk is mended there are sessions. A home that is full itself is no obstacle.
. ./lib.sh

readonly homes=/var/lib/cloudshell-fog/homes disk=/root/homes.disk

# The service keeps the directory open.
mounts_disk() {
	truncate -s 96M $disk && mkfs.ext4 -q -m 0 $disk && systemctl stop $unit && mount -o loop $disk $homes &&
		chmod 700 $homes && rmdir $homes/lost+found && systemctl start $unit && wait_for is_ready
}

unmounts_disk() {
	systemctl stop $unit && wait_for umount $homes && rm $disk && systemctl start $unit && wait_for is_ready
}

# is_refused CAUSE: 503, in these words.
is_refused() {
	local answer status
	answer=$(api POST /v1/sessions '{"profile": "kept", "ttl_seconds": 60}') && return 1
	status=$(jq -r '"\(.status) \(.code) \(.detail)"' <<<"$answer")
	equal "$status" "503 spawn_failed home: $1"
}

living() {
	losetup -nO BACK-FILE | grep -v "^$disk" | sort
	find /run/cloudshell-fog/sessions /sys/fs/cgroup/system.slice/$sessions_unit -mindepth 1 -name '*.rec' -o -name 's[0-9]*'
	find $homes -mindepth 1 | sort
	pids_of holder
	shells
}

# As it was before, within a moment.
is_as_before() {
	equal "$(living)" "$before"
}

refuses() {
	is_refused "$1" && wait_for is_as_before
}

fills_home() {
	type_line "$session" 'cat /dev/zero >~/fill; echo full"!"' '^full!'
}

check 'homes: a disk of their own' mounts_disk || {
	explain
	exit
}
before=$(living)
fallocate -l $(($(df --output=avail -B 1 $homes | tail -n 1) - (2 << 20))) $homes/fill
before=$(living)
check 'homes: their disk is full: a 503 that says so, and nothing is left' refuses 'the disk of this node is full'
rm $homes/fill
mount -o remount,ro $homes
before=$(living)
check 'homes: their disk can only be read: a 503 that says so, and nothing is left' \
	refuses 'the disk of this node is read-only'
mount -o remount,rw $homes
session=$(create_session kept)
check 'homes: once it is mended there is a session' [ -n "$session" ] || explain
check 'homes: it fills its home' fills_home
check 'homes: and ends' api DELETE "/v1/sessions/$session"
session=$(wait_for create_session kept)
check 'homes: with a home that is full there is a session, where room can be made' type_line "$session" \
	'rm ~/fill && echo room >~/new && cat ~/new' '^room'
check 'homes: and ends, too' api DELETE "/v1/sessions/$session"
check 'homes: the disk goes' unmounts_disk
