#!/bin/bash
# SPDX-License-Identifier: MIT
# What systemd says in the end: to the unit files, how exposed each of them is, and in the journal of it all.
. ./lib.sh

verifies() {
	local said
	equal "$(systemd-analyze verify --man=no "$1" 2>&1)" ''
}

# The other checks have shown that the journal can be searched.
no_violation() {
	! journalctl --no-pager -q -u $unit -g filter_violation
}

for file in /usr/lib/systemd/system/cloudshell-fog*; do
	name=${file##*/}
	check "$name: systemd-analyze verify" verifies "$file"
	echo "# $name: $(systemd-analyze security --offline=true --no-pager "$file" | tail -n 1)"
done
check 'journal: no filter has killed anybody' no_violation
check 'units: no unit has failed' equal "$(systemctl --failed --plain --no-legend)" ''
