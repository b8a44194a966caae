#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh: inside the machine of regress/vm/run.sh: installs the tree of `make install` that lies beside it as an
# administrator would, then runs every check-*.sh in the order of their names. Fails if one of them did.
# A line of a check begins with "ok" or "not ok"; lines with # explain.
set -uo pipefail
cd "$(dirname "$0")" || exit 1

install_service() {
	tar -C tree -cf - . | tar -C / --no-overwrite-dir -xf - || return
	echo 'RUNTIME=stub' >>/etc/cloudshell-fog/gateway.env
	systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload
}

keep_files() {
	journalctl --no-pager -b >files/journal
	cp -R /etc/cloudshell-fog files/
	cp /var/lib/cloudshell-fog/audit/audit.jsonl files/
}

echo "# $(uname -sr), $(systemctl --version | head -n 1), started in $(cut -d ' ' -f 1 /proc/uptime) s"
install_service || {
	echo "not ok install: the tree cannot be installed"
	exit 1
}
failed=0
for file in check-*.sh; do
	echo "# $file"
	bash "$file" || failed=1
done
keep_files
echo "# ended at $(cut -d ' ' -f 1 /proc/uptime) s"
exit $failed
