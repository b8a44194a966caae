#!/bin/bash
# SPDX-License-Identifier: MIT
# The packages, as an administrator installs them on a machine that has never seen them: what runs then, for whom, and
# what is refused. Leaves the service set up for the other checks: on loopback any token is taken, and there is an image.
. ./lib.sh

installs() {
	DEBIAN_FRONTEND=noninteractive dpkg -i debs/*.deb >files/dpkg 2>&1 || {
		cat files/dpkg
		return 1
	}
}

says_in_one_line() {
	local lines
	lines=$(grep '^cloudshell-fog: ' files/dpkg)
	[[ $lines == *OIDC_ISSUER_URL*'fogctl image create'* && $lines != *$'\n'* ]] || {
		echo "said: $lines"
		return 1
	}
}

has_conffiles() {
	equal "$(dpkg-query -W -f '${Conffiles}' cloudshell-fog | awk 'NF { print $1 }' | sort | tr '\n' ' ')" \
		'/etc/cloudshell-fog/gateway.env /etc/cloudshell-fog/policy.yaml '
}

has_files() {
	local file
	for file in sbin/fogd bin/fogctl libexec/cloudshell-fog/session-init lib/sysusers.d/cloudshell-fog.conf \
		lib/tmpfiles.d/cloudshell-fog.conf share/bash-completion/completions/fogctl \
		share/zsh/vendor-completions/_fogctl share/fish/vendor_completions.d/fogctl.fish; do
		[ -s "/usr/$file" ] || {
			echo "not installed: /usr/$file"
			return 1
		}
	done
}

has_users() {
	local user
	for user in $(awk '$1 == "u" { print $2 }' /usr/lib/sysusers.d/cloudshell-fog.conf); do
		getent passwd "$user" >/dev/null || {
			echo "no user $user"
			return 1
		}
	done
}

states_are() {
	equal "$(systemctl "$1" $unit $sessions_unit | tr '\n' ' ')" "$2 $2 "
}

# Of all that listens, for no other service is here.
listens_on_loopback() {
	local all
	all=$(ss -Hltn | awk '{ print $4 }')
	grep -q ":$port\$" <<<"$all" && ! grep -v '^127\.0\.0\.1:\|^\[::1\]:' <<<"$all"
}

status_of() {
	curl -sS --max-time 30 -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer alice' "http://$address:$port$1"
}

waits_for_sign_in() {
	local said
	said=$(curl -sS --max-time 30 "http://$address:$port/readyz")
	jq -e '(.sign_in == "waiting") and ([.parts[]] | all)' <<<"$said" >/dev/null || {
		echo "said: $said"
		return 1
	}
}

# Without an identity provider it does not leave loopback, and says why: to fogd -n and in the journal.
refuses_the_network() {
	local began why
	echo "LISTEN_ADDR=$1" >>/etc/cloudshell-fog/gateway.env
	began=$(date +%s)
	! systemctl restart $unit || {
		echo "it has started with LISTEN_ADDR=$1"
		return 1
	}
	wait_for journal_has "LISTEN_ADDR=.*loopback" "$began" || return
	why=$(LISTEN_ADDR=$1 fogd -n 2>&1) && {
		echo "fogd -n took it"
		return 1
	}
	[[ $why == *"LISTEN_ADDR=$1"*loopback* ]] || {
		echo "fogd -n said: $why"
		return 1
	}
}

sets_up() {
	local image
	fogctl image create base || return
	image=$(fogctl image list | grep -o 'sha256:[0-9a-f]*' | head -n 1)
	[ -n "$image" ] || return
	printf '%s\n' RUNTIME=sandbox USE_STUB_CONNECTOR=1 CREATES_PER_MINUTE=0 >>/etc/cloudshell-fog/gateway.env
	sed "s/@IMAGE@/base@$image/" policy.yaml >/etc/cloudshell-fog/policy.yaml
	systemctl restart $unit && wait_for is_ready
}

state_of_machine >files/before
check 'install: dpkg -i' installs || exit
check 'install: it says in one line what comes next' says_in_one_line
check 'install: programs, completions and the rest are there' has_files
check 'install: two conffiles' has_conffiles
check 'install: the users of sysusers.d' has_users
check 'install: fogd -n takes what is installed' fogd -n
check 'install: both units are enabled' states_are is-enabled enabled
check 'install: both units are active' states_are is-active active
check 'install: /healthz is ok' wait_for api GET /healthz
check 'install: /readyz: every part runs, and sign-in waits for the administrator' wait_for waits_for_sign_in || explain
check 'install: it listens on loopback alone' listens_on_loopback
check 'install: a token of nobody is refused' equal "$(status_of /v1/sessions)" 401
check 'install: the page is there' api GET /
for dir in images homes storage; do
	check "install: $dir is for root alone" equal "$(stat -c %A:%U /var/lib/cloudshell-fog/$dir)" drwx------:root
done
cp /etc/cloudshell-fog/gateway.env files/gateway.env
for to in 0.0.0.0:8080 '[::]:8080'; do
	check "install: without identity, LISTEN_ADDR=$to is refused" refuses_the_network "$to"
	cat files/gateway.env >/etc/cloudshell-fog/gateway.env
done
systemctl reset-failed $unit
check 'install: an image, a policy, and it is ready' sets_up || explain
