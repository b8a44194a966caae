#!/bin/bash
# SPDX-License-Identifier: MIT
# The page in a real browser, which is outside: browse.mjs, beside this machine. The service stays on loopback; a relay of
# systemd takes what comes in by the one port that leads here.
. ./lib.sh

[ -s beside ] || {
	echo '# page: nobody is beside this machine'
	exit
}
readonly door=10.0.2.15:8000 relay=vmtest-door
link=$(ip -o link | awk -F ': ' '$2 !~ /^lo/ { print $2; exit }')

opens_door() {
	ip addr add ${door%:*}/24 dev "$link" && ip link set "$link" up || return
	cp /etc/cloudshell-fog/gateway.env /root/gateway.env
	echo "GATEWAY_URL=http://127.0.0.1:$(cat beside)" >>/etc/cloudshell-fog/gateway.env
	systemctl restart $unit && wait_for is_ready || return
	systemd-run -q --unit=$relay --socket-property=ListenStream=$door /lib/systemd/systemd-socket-proxyd $address:$port
}

closes_door() {
	systemctl stop $relay.socket $relay.service
	ip addr del ${door%:*}/24 dev "$link"
	ip link set "$link" down
	cat /root/gateway.env >/etc/cloudshell-fog/gateway.env
	rm /root/gateway.env
	systemctl restart $unit && wait_for is_ready
}

began=$(date +%s)
check 'page: the way in' opens_door || exit
echo '# page: open'
check 'page: the browser has a session' wait_for journal_has 'event=session_state .* to=running' "$began" || explain
check 'page: it ends' wait_for journal_has 'event=session_state .* to=exited' "$began" || explain
echo "# page: $(($(date +%s) - began)) s"
check 'page: the way is closed' closes_door
