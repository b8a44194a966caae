#!/bin/bash
# SPDX-License-Identifier: MIT
# Two nodes: this machine's service, and the same unit once more in a network namespace, behind a line that is slow and
# loses packets. Each knows how the other is, a session goes where it is nearer, and lives there whatever becomes of the
# node by which it came; drain and cut (S23, R12). Signed in is with a token of an identity provider that is two files.
. ./lib.sh

readonly dir=/payload/fleet space=fog-far far_unit=fog-far.service
readonly near_address=10.99.0.1 far_address=10.99.0.2
readonly near=https://$near_address:8443 far=https://$far_address:8443 issuer=https://$near_address:9443
readonly delay=20ms loss=5% watched_seconds=30
readonly far_uid_base=2013265920 uids=134217728
readonly saved=/payload/files/gateway.env

base64url() {
	base64 -w 0 | tr '+/' '-_' | tr -d =
}

# ---- certificates, keys, and a provider that answers with what it has ------------------------------------

make_authority() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -days 2 \
		-subj '/CN=a test' 2>openssl.log
}

# certify NAME ADDRESS
certify() {
	openssl req -x509 -CA ca.crt -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$1.key" \
		-out "$1.crt" -days 2 -subj "/CN=$1" -addext "subjectAltName=IP:$2" -addext basicConstraints=critical,CA:FALSE \
		2>openssl.log
}

make_certificates() {
	make_authority && certify near $near_address && certify far $far_address
}

# answer PATH JSON: a whole answer, as openssl s_server -HTTP gives out the file of that path.
answer() {
	mkdir -p "$(dirname "provider/$1")"
	printf 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s' \
		${#2} "$2" >"provider/$1"
}

# coordinates KEY: of its public point, base64url, x and y in a line each. They are the last 64 bytes of its DER.
coordinates() {
	local point
	point=$(openssl pkey -in "$1" -pubout -outform DER | tail -c 64 | base64 -w 0)
	base64 -d <<<"$point" | head -c 32 | base64url
	echo
	base64 -d <<<"$point" | tail -c 32 | base64url
}

make_provider() {
	local x y
	openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out signer.key || return
	{
		read -r x
		read -r y
	} < <(coordinates signer.key && echo)
	answer .well-known/openid-configuration "$(jq -nc --arg iss $issuer '{issuer: $iss, jwks_uri: "\($iss)/keys",
		authorization_endpoint: "\($iss)/authorize", token_endpoint: "\($iss)/token", response_types_supported: ["code"],
		subject_types_supported: ["public"], id_token_signing_alg_values_supported: ["ES256"]}')"
	answer keys "$(jq -nc --arg x "$x" --arg y "$y" \
		'{keys: [{kty: "EC", crv: "P-256", use: "sig", alg: "ES256", kid: "one", x: $x, y: $y}]}')"
	systemd-run -q --unit=provider -p WorkingDirectory=$dir/provider openssl s_server -quiet -HTTP \
		-accept $near_address:9443 -cert $dir/near.crt -key $dir/near.key
}

# sign TEXT: by ES256 (RFC 7518 3.4): both numbers of the DER with 32 bytes each.
sign() {
	local number
	printf %s "$1" | openssl dgst -sha256 -sign signer.key | openssl asn1parse -inform DER |
		sed -n 's/.*INTEGER *://p' | while read -r number; do
		number=$(printf %64s "$number" | tr ' ' 0 | sed 's/../\\x&/g')
		# shellcheck disable=SC2059 # the bytes are those of the format
		printf "$number"
	done | base64url
}

# An access token (RFC 9068) of alice, for an hour.
make_token() {
	local now signed
	now=$(date +%s)
	signed=$(printf '{"alg":"ES256","typ":"at+jwt","kid":"one"}' | base64url).$(jq -jnc --arg iss $issuer --argjson now "$now" \
		'{iss: $iss, aud: "fog", sub: "alice", client_id: "vm", jti: "one", iat: $now, exp: ($now + 3600)}' | base64url)
	echo "$signed.$(sign "$signed")"
}

# ---- the line, and the nodes at its ends -----------------------------------------------------------------

# line_is OPTION...: of netem, in both directions.
line_is() {
	tc qdisc replace dev fog-line root netem "$@" && ip netns exec $space tc qdisc replace dev eth0 root netem "$@"
}

make_line() {
	ip netns add $space
	ip link add fog-line type veth peer name eth0 netns $space
	ip addr add $near_address/24 dev fog-line
	ip -n $space addr add $far_address/24 dev eth0
	ip link set fog-line up
	ip -n $space link set lo up
	ip -n $space link set eth0 up
	line_is delay $delay loss $loss
}

packets_lost() {
	tc -s -j qdisc show dev fog-line root | jq -e '.[0].drops'
}

# node_row NAME: of nodes.yaml, with the key that is made for it.
node_row() {
	local key
	key=$(fogctl node keygen --out "$1.node-key" | grep -o 'public_key: ".*"') || return
	printf '  - name: %s\n    url: %s\n    region: lab\n    tier: fog\n    trust: trusted\n' "$1" "${!1}"
	printf '    capacity: {sessions: 16}\n    %s\n' "$key"
}

# settings NAME ADDRESS: of both, in place of what the other checks have. An emulated machine takes seconds for a session,
# and more where others run beside it.
settings() {
	cat <<-ENV
		RUNTIME=sandbox
		USE_STUB_CONNECTOR=0
		CREATES_PER_MINUTE=0
		LISTEN_ADDR=$2:8443
		GATEWAY_URL=https://$2:8443
		TLS_CERT_FILE=$dir/$1.crt
		TLS_KEY_FILE=$dir/$1.key
		OIDC_ISSUER_URL=$issuer
		OIDC_CLIENT_ID=vm
		OIDC_AUDIENCE=fog
		OIDC_CA_FILE=$dir/ca.crt
		FORWARD_TIMEOUT_MS=40000
		NODE_NAME=$1
		NODES_CONFIG=$dir/nodes.yaml
		NODE_KEY_FILE=$dir/$1.node-key
		FLEET_ORIGINS="$near $far"
		FLEET_CA_FILE=$dir/ca.crt
	ENV
}

configure() {
	{ echo nodes: && node_row near && node_row far; } >nodes.yaml || return
	settings near $near_address >>/etc/cloudshell-fog/gateway.env
	settings far $far_address >far.env
	cat >>far.env <<-ENV
		RUN_DIR=/run/fog-far
		STATE_DIR=/var/lib/fog-far
		SESSION_UID_BASE=$far_uid_base
		POLICY_CONFIG=$dir/policy.yaml
	ENV
	# The unit with control groups for sessions is this machine's: there is one of that name.
	sed 's/^  - name:.*/&\n    limits: best-effort/' /etc/cloudshell-fog/policy.yaml >policy.yaml
	mkdir -m 711 /var/lib/fog-far
	cp -al /var/lib/cloudshell-fog/images /var/lib/fog-far/
	mkdir -m 700 /var/lib/fog-far/{homes,storage}
}

# The unit as it is installed, elsewhere.
install_far() {
	local units=/run/systemd/system
	cp /lib/systemd/system/$unit $units/$far_unit
	mkdir -p $units/$far_unit.d
	cat >$units/$far_unit.d/far.conf <<-UNIT
		[Service]
		Slice=fogfar.slice
		NetworkNamespacePath=/run/netns/$space
		EnvironmentFile=
		EnvironmentFile=$dir/far.env
		RuntimeDirectory=
		RuntimeDirectory=fog-far
		StateDirectory=
		StateDirectory=fog-far
	UNIT
	systemctl daemon-reload
}

starts_both() {
	systemctl restart $unit $far_unit || {
		journalctl --no-pager -u $unit -u $far_unit -n 20
		return 1
	}
}

takes_it_all_down() {
	systemctl stop $unit $far_unit provider
	rm -rf --one-file-system /run/systemd/system/$far_unit{,.d} /run/fog-far /var/lib/fog-far
	systemctl daemon-reload
	ip netns del $space
	# Made by ip for the first namespace.
	umount /run/netns && rmdir /run/netns
	cat $saved >/etc/cloudshell-fog/gateway.env
	systemctl reset-failed 2>/dev/null
	systemctl start $unit && wait_for is_ready
}

# ---- what is looked at -----------------------------------------------------------------------------------

# ctl NODE ARGUMENT...: the installed fogctl, of the service on that node.
ctl() {
	local socket=/run/cloudshell-fog/control.sock
	[ "$1" = near ] || socket=/run/fog-far/control.sock
	shift
	fogctl "$@" --socket $socket
}

# node_is BY NAME STATE
node_is() {
	local is
	is=$(ctl "$1" nodes list --json) || return
	equal "$(jq -r --arg name "$2" '.nodes[] | select(.name == $name) | .state' <<<"$is")" "$3"
}

see_each_other_as() {
	node_is near far "$1" && node_is far near "$1"
}

# went_down UNIT SINCE: a line of the journal, for each node that was out.
went_down() {
	journalctl --no-pager -q -u "$1" -S "@$2" -g 'event=node_state .* is=unreachable'
}

nobody_went_down() {
	! { went_down $unit "$1" || went_down $far_unit "$1"; }
}

# create_by NODE NEAR-MS FAR-MS: asks that node for a session, for somebody at these distances. Prints the answer.
create_by() {
	local answer
	answer=$(origin=${!1} api POST /v1/sessions '{"profile": "default", "ttl_seconds": 600, "latency_ms": {"near": '"$2"', "far": '"$3"'}}') || {
		echo "$answer" >&2
		return 1
	}
	echo "$answer"
}

is_placed() {
	equal "$(jq -r .placement.node <<<"$1")" "$2" && [[ ,$(jq -r .placement_reason <<<"$1"), == *$3* ]] && return
	echo "$1"
	return 1
}

# shells_of BASE: those whose user is one of a node's, whose ids begin there.
shells_of() {
	local pid uid
	for pid in $(shells); do
		uid=$(status_field "$pid" Uid | cut -d ' ' -f 1)
		if [ "$uid" -ge "$1" ] && [ "$uid" -lt $(($1 + uids)) ]; then
			echo "$pid"
		fi
	done
}

equals_shells() {
	equal "$(shells_of $far_uid_base)" "$1"
}

# In a control group below the slice of the other node.
is_of_far() {
	[ -n "$1" ] && grep '^0::/fogfar.slice/' "/proc/$1/cgroup"
}

is_listed_once() {
	local list
	list=$(api GET /v1/sessions) || return
	equal "$(jq --arg id "$1" '[.sessions[] | select(.session_id == $id)] | length' <<<"$list")" 1 || {
		echo "$list"
		return 1
	}
}

is_started_anew() {
	local now
	now=$(main_pid)
	[ "$now" != 0 ] && differ "$now" "$1" && is_ready
}

# ---- both come up ----------------------------------------------------------------------------------------

cp /etc/cloudshell-fog/gateway.env $saved
mkdir -p $dir
cd $dir || exit
check 'fleet: the kernel has netem' modprobe sch_netem || exit
check 'fleet: a line that is slow and loses packets' make_line || exit
check 'fleet: certificates' make_certificates || exit
check 'fleet: an identity provider' make_provider || exit
check 'fleet: keys, nodes.yaml, settings' configure || exit
check 'fleet: fogctl takes the file' fogctl config check --nodes nodes.yaml --origins "$near $far" --node near
install_far
check 'fleet: both nodes start' starts_both || exit
export CURL_CA_BUNDLE=$dir/ca.crt
bearer=$(make_token) origin=$near
check 'fleet: each sees the other' wait_for see_each_other_as up || {
	explain
	exit
}
began=$(date +%s)
for origin in $far $near; do
	check "fleet: $origin is ready, sign-in too" wait_for is_ready
done

# ---- a session goes where it is nearer -------------------------------------------------------------------

made=$(create_by near 80 3)
check 'forward: nearer to the other node, it is there' is_placed "$made" far ,nearest, || explain
session=$(jq -r .session_id <<<"$made")
far_shell=$(shells_of $far_uid_base)
check 'forward: its shell is one of that node' is_of_far "$far_shell"
check 'forward: its terminal is on that node' equal "$(jq -r .attach.ws_url <<<"$made")" \
	"wss://$far_address:8443/v1/sessions/$session/pty"
origin=$far
# shellcheck disable=SC2016 # the session's shell expands it
check 'forward: a variable is set' type_line "$session" 'kept="as it was"; echo "stor"ed' '^stored$'
origin=$near
check 'forward: the node that was asked lists it, once' is_listed_once "$session"

# ---- drain -----------------------------------------------------------------------------------------------

check 'drain: fogctl nodes drain' ctl far nodes drain far
check 'drain: the other node hears of it' wait_for node_is near far draining
made=$(create_by near 80 3)
check 'drain: a session that would be there is here' is_placed "$made" near ''
check 'drain: and ends' api DELETE "/v1/sessions/$(jq -r .session_id <<<"$made")"
check 'drain: the one that was there goes on' session_goes_on "$session"
check 'drain: fogctl nodes undrain' ctl far nodes undrain far
check 'drain: the other node hears of that' wait_for node_is near far up

# ---- a bad line is no reason, a dead node and a cut are ----------------------------------------------------

rest=$((began + watched_seconds - $(date +%s)))
[ $rest -le 0 ] || sleep $rest
check "loss: packets were lost" packets_lost
check "loss: for $watched_seconds s nobody was taken for dead" nobody_went_down "$began"

before=$(main_pid)
check 'kill: SIGKILL to all of the node that was asked' systemctl kill -s KILL $unit
check 'kill: the session of the other node is the same process' equals_shells "$far_shell"
origin=$far
check 'kill: its shell remembers what was typed' type_line "$session" "echo \"kill \$kept\"" '^kill as it was$'
origin=$near
check 'kill: systemd starts another, and it is ready' wait_for is_started_anew "$before"
check 'kill: it finds the session' wait_for is_listed_once "$session"

began=$(date +%s)
check 'cut: the line is cut' line_is loss 100%
check 'cut: each sees the other down' wait_for see_each_other_as unreachable
echo "# cut: seen by both after $(($(date +%s) - began)) s"
check 'cut: the journal says so' went_down $far_unit "$began"
check 'cut: the session goes on' equals_shells "$far_shell"
check 'cut: it is mended' line_is delay $delay loss $loss
check 'cut: each sees the other again' wait_for see_each_other_as up
check 'fleet: the session ends, by way of the other node' api DELETE "/v1/sessions/$session"
check 'fleet: its shell is gone' wait_for equals_shells ''

unset CURL_CA_BUNDLE
origin=http://$address:$port bearer=alice
check 'fleet: one node again' takes_it_all_down
