# SPDX-License-Identifier: MIT
# Sourced by the check-*.sh: named checks, the API, and the processes of the service. The time limits are those
# of an emulated machine. Who talks to another node than this one, or as somebody else, sets $origin and $bearer, and
# for https CURL_CA_BUNDLE.
# shellcheck shell=bash
set -uo pipefail

readonly address=127.0.0.1 port=8080
readonly unit=cloudshell-fog.service sessions_unit=cloudshell-fog-sessions.service
readonly wait_seconds=60
origin=http://$address:$port
bearer=alice
failures=0
trap '[ $failures = 0 ] || exit 1' EXIT

# check NAME COMMAND...: the command says why on its output; that is shown only when it fails.
check() {
	local name=$1 why
	shift
	if why=$("$@" 2>&1); then
		echo "ok $name"
		return 0
	fi
	failures=$((failures + 1))
	echo "not ok $name"
	why=${why:-$* failed}
	echo "#   ${why//$'\n'/$'\n'#   }"
	return 1
}

# wait_for COMMAND...: until it succeeds, for a minute. Its last output is what it has to say.
wait_for() {
	local end=$((SECONDS + wait_seconds)) said
	until said=$("$@" 2>&1); do
		if [ $SECONDS -ge $end ]; then
			echo "not within $wait_seconds s: $* ${said:+($said)}"
			return 1
		fi
		sleep 0.2
	done
	[ -z "$said" ] || echo "$said"
}

equal() {
	[ "$1" = "$2" ] || {
		echo "is '$1', should be '$2'"
		return 1
	}
}

differ() {
	[ "$1" != "$2" ] || {
		echo "is '$1' as before"
		return 1
	}
}

# api METHOD PATH [JSON]: the body on standard output; fails where the status is not one of 2xx.
api() {
	curl -sS --max-time 30 --fail-with-body -X "$1" -H "Authorization: Bearer $bearer" \
		-H 'Content-Type: application/json' ${3:+-d "$3"} "$origin$2"
}

is_ready() {
	api GET /readyz
}

# create_session [PROFILE]: prints its id; why there is none goes to standard error.
create_session() {
	local answer
	answer=$(api POST /v1/sessions '{"profile": "'"${1:-default}"'", "ttl_seconds": 3600}') || {
		echo "$answer" | sed 's/^/#   /' >&2
		return 1
	}
	jq -er .session_id <<<"$answer"
}

# explain: the last lines of the journal, for a failure that ends a check.
explain() {
	journalctl --no-pager -u $unit -n 25 | sed 's/^/# /'
}

# attach_token SESSION: for the driver.
attach_token() {
	local grant
	grant=$(api POST "/v1/sessions/$1/attach" '{"role": "driver"}') || return
	jq -er .token <<<"$grant"
}

# session_goes_on SESSION: the service has it, with somebody attached or nobody.
session_goes_on() {
	local status
	status=$(api GET "/v1/sessions/$1" | jq -er .status)
	[[ $status =~ ^(running|detached)$ ]] || {
		echo "status: $status"
		return 1
	}
}

# journal_has PATTERN SECONDS: a line of the service, not older than this time.
journal_has() {
	journalctl --no-pager -q -u $unit -S "@$2" -g "$1" || {
		echo "not in the journal: $1"
		return 1
	}
}

main_pid() {
	systemctl show -P MainPID $unit
}

# pids_of PROGRAM: the processes that run this file of ours, or the one that an upgrade has replaced.
pids_of() {
	local file
	for file in "/usr/libexec/cloudshell-fog/$1" "/usr/sbin/$1"; do
		find /proc/[0-9]*/exe -lname "$file" -o -lname "$file (deleted)" 2>/dev/null | cut -d / -f 3
	done
}

# The init of a session runs from a memfd, and its child is the shell.
shells() {
	local init
	for init in $(pgrep -f '^session-init'); do
		pgrep -P "$init"
	done
}

shell_of_newest() {
	local init
	init=$(pgrep -n -f '^session-init') && pgrep -o -P "$init"
}

# still_there WHAT: $holder and $shell are the processes that they were, and it is the shell of $session that has the
# variable.
still_there() {
	check "$1: the holder is the same process" equal "$(pids_of holder)" "$holder"
	check "$1: the shell is the same process" equal "$(shells)" "$shell"
	check "$1: the session goes on" wait_for session_goes_on "$session"
	# The name is in the answer, since the one of the last time is shown again.
	check "$1: the shell remembers what was typed" type_line "$session" "echo \"$1 \$kept\"" "^$1 as it was\$"
}

# state_of_machine: every file, account, mount, loop device, link, control group and packet filter, one a line.
state_of_machine() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /payload -o -path /run -o \
		-path /var/cache -o -path /var/log -o -path /var/lib/dpkg -o -path /var/lib/systemd/timers -o \
		-path /root -o -name 'passwd-' -o -name 'shadow-' -o -name 'group-' -o -name 'gshadow-' \) -prune -o \
		-printf 'file /%P\n' | sort
	find /run /var/lib/dpkg/info /var/lib/systemd -name '*cloudshell*' -printf 'file %p\n'
	sed 's/^/trigger /' /var/lib/dpkg/triggers/File
	cut -d : -f 1 /etc/passwd | sed 's/^/user /'
	cut -d : -f 1 /etc/group | sed 's/^/group /'
	findmnt -rno TARGET,FSTYPE | sort | sed 's/^/kernel mount /'
	losetup -nO NAME,BACK-FILE | sed 's/^/kernel loop /'
	ip -o link | awk '{ print "kernel link", $2 }'
	find /sys/fs/cgroup -type d -name '*cloudshell*' -printf 'kernel group %p\n'
	nft list tables | sed 's/^/kernel filter /'
}

# status_field PID FIELD: a line of /proc/PID/status, its words parted by one blank. Without a process: each takes its time
# in here.
status_field() {
	local key value
	while read -r key value; do
		if [ "$key" = "$2:" ]; then
			echo "${value//$'\t'/ }"
		fi
	done <"/proc/$1/status"
}

# open_stream FILE: connects to $origin; what is written to $ws goes there, and what comes goes to FILE. $reader is the
# process that does so.
open_stream() {
	local to=${origin#*://}
	if [[ $origin == https:* ]]; then
		mkfifo "$1.in"
		openssl s_client -quiet -verify_return_error -CAfile "$CURL_CA_BUNDLE" -connect "$to" <"$1.in" >"$1" 2>/dev/null &
		reader=$!
		exec {ws}>"$1.in"
		rm "$1.in"
	else
		exec {ws}<>"/dev/tcp/${to%:*}/${to##*:}" || return
		cat <&"$ws" >"$1" &
		reader=$!
	fi
}

# waits_for_output FILE PATTERN: in what the terminal has said.
waits_for_output() {
	local end=$((SECONDS + wait_seconds))
	until output_of "$1" | grep -q "$2"; do
		if [ $SECONDS -ge $end ]; then
			head -n 1 "$1"
			output_of "$1"
			return 1
		fi
		sleep 0.2
	done
	output_of "$1" | grep "$2"
}

# type_line SESSION LINE PATTERN: attaches, types the line, waits until the output matches and prints it. A
# WebSocket client in bash: the mask of its frames (RFC 6455 5.3) is zero, so that they stay readable.
type_line() {
	local token frame ws header raw reader status
	token=$(attach_token "$1") || return
	frame='{"type":"stdin","data_b64":"'$(printf '%s\n' "$2" | base64 -w 0)'"}'
	header=$(printf '\\x%x' $((0x80 | ${#frame})))
	[ ${#frame} -le 125 ] || header=$(printf '\\xfe\\x%02x\\x%02x' $((${#frame} >> 8)) $((${#frame} & 255)))
	raw=$(mktemp)
	open_stream "$raw" || return
	printf '%s\r\n' "GET /v1/sessions/$1/pty HTTP/1.1" "Host: ${origin#*://}" 'Upgrade: websocket' \
		'Connection: Upgrade' 'Sec-WebSocket-Version: 13' 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==' \
		"Sec-WebSocket-Protocol: fog.pty.json, fog.token.$token" '' >&"$ws"
	if ! wait_for grep -aqm 1 '^HTTP/1.1 ' "$raw" || ! grep -aqm 1 '^HTTP/1.1 101 ' "$raw"; then
		echo "attach: $(head -n 1 "$raw")"
		status=1
	else
		# shellcheck disable=SC2059 # the length is part of the format
		printf "\x81$header\0\0\0\0%s" "$frame" >&"$ws"
		waits_for_output "$raw" "$3"
		status=$?
	fi
	kill $reader
	exec {ws}>&-
	rm -f "$raw"
	return $status
}

# output_of FILE: what the frames of the terminal say, without carriage returns and escape sequences (ECMA-48 5.4).
output_of() {
	grep -ao '"data_b64":"[^"]*"' "$1" | sed 's/.*/{&}/' | jq -j '.data_b64 | @base64d' | tr -d '\r' |
		sed 's/\x1b\[[?0-9;]*[A-Za-z]//g'
}
