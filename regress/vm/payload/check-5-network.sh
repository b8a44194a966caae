#!/bin/bash
# SPDX-License-Identifier: MIT
# Egress (S30): what the profile names is reached from the installed service's session, all else is denied, counted, and in the
# kernel's log with the rule by which it was. The world is a network namespace.
. ./lib.sh

readonly space=fog-world world=10.98.0.2 open=7001 closed=7002 # as in policy.yaml
readonly own=10.98.0.1 barred=/run/modprobe.d/vmtest.conf

# For the first session the kernel would load them one after the other, which takes seconds here. One is not to be had.
loads_modules() {
	mkdir -p /run/modprobe.d
	echo 'install nft_objref /bin/false' >$barred
	modprobe -a nf_tables nft_ct nft_chain_nat nft_masq nft_limit nft_log nf_log_syslog nft_reject_inet nft_fib_inet nft_connlimit
}

make_world() {
	ip netns add $space
	ip link add fog-up type veth peer name eth0 netns $space
	ip addr add $own/24 dev fog-up
	ip -n $space addr add $world/24 dev eth0
	ip link set fog-up up
	ip -n $space link set lo up
	ip -n $space link set eth0 up
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout /root/world.pem -out /root/world.pem \
		-days 2 -subj /CN=world 2>files/openssl
	for to in $open $closed; do
		systemd-run -q --unit=world-$to -p NetworkNamespacePath=/run/netns/$space \
			openssl s_server -quiet -accept $world:$to -cert /root/world.pem || return
	done
	wait_for is_open
}

is_open() {
	[ "$(ip netns exec $space ss -Hltn | wc -l)" = 2 ]
}

end_world() {
	systemctl stop world-$open world-$closed
	ip link del fog-up
	ip netns del $space
	umount /run/netns && rmdir /run/netns
	rm /root/world.pem
}

# The service has named what is missing.
is_refused() {
	local answer
	answer=$(api POST /v1/sessions '{"profile": "online", "ttl_seconds": 60}') && return 1
	[[ $answer == *"$1"* ]] || {
		echo "$answer"
		return 1
	}
}

# connects PORT WORD IS: by bash, in the session, which says WORD-ed or WORD-not.
connects() {
	type_line "$session" "(exec 9<>/dev/tcp/$world/$1) 2>/dev/null && echo $2-ed || echo $2-n\"o\"t" "^$2-$3\$"
}

denied() {
	api GET "/v1/sessions/$session" | jq .usage.egress_denied
}

has_denied() {
	local now
	now=$(denied)
	[ "${now:-0}" -gt 0 ]
}

# As the administrator finds it: which session, by which rule, and what it was.
log_names_the_rule() {
	journalctl --no-pager -q -k -g "fog-deny s[0-9]+ egress\\.no_rule .*IN=fog[0-9]+ .*DST=$world .*DPT=$closed "
}

node_has_counted() {
	curl -sS --max-time 30 http://127.0.0.1:9464/metrics | grep '^fog_node_sessions_egress_denied_total [1-9]'
}

nothing_is_linked() {
	equal "$(ip -o link | grep -c ' fog[0-9]')$(nft list counters | grep -c 's[0-9]*_deny')" 00
}

check 'egress: the modules of nf_tables' loads_modules
check 'egress: without all of nf_tables there is no session, and it says why' is_refused 'the kernel of this node has no nf_tables'
rm $barred
check 'egress: where nothing is forwarded, there is no session, and it says why' is_refused net.ipv4.ip_forward=1
check 'egress: and nothing is left' wait_for nothing_is_linked
sysctl -q net.ipv4.ip_forward=1
check 'egress: a world' make_world
session=$(create_session online)
check 'egress: a session' [ -n "$session" ] || {
	explain
	exit
}
check 'egress: what the profile names is reached' connects $open named ed
check 'egress: nothing is denied so far' equal "$(denied)" 0
check 'egress: another port is not' connects $closed other not
check 'egress: the session has it in its usage' wait_for has_denied
echo "# egress: egress_denied is $(denied)"
check 'egress: the log has it, with the rule' wait_for log_names_the_rule
echo "# egress: $(log_names_the_rule | tail -n 1)"
check 'egress: the node has counted it' wait_for node_has_counted
check 'egress: DELETE ends it' api DELETE "/v1/sessions/$session"
check 'egress: no link and no counter is left' wait_for nothing_is_linked
end_world
sysctl -q net.ipv4.ip_forward=0
