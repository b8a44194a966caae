#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: inside the machine of regress/vm/run.sh: runs every check-*.sh in the order of their names; the first of them
# install the packages that lie beside it, the last take them away. Fails if one of them did.
# A line of a check begins with "ok" or "not ok"; lines with # explain.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

echo "# $(uname -sr), $(systemctl --version | head -n 1), started in $(cut -d ' ' -f 1 /proc/uptime) s"
mkdir -p files
failed=0
for file in check-*.sh; do
	began=$SECONDS
	echo "# $file"
	bash "$file" || failed=1
	echo "# $file: $((SECONDS - began)) s"
	journalctl --no-pager -b >files/journal
done
echo "# ended at $(cut -d ' ' -f 1 /proc/uptime) s"
exit $failed
