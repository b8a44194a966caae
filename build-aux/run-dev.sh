#!/bin/bash
# SPDX-License-Identifier: MIT
# run-dev.sh BUILD: runs fogd from a build tree in the foreground with the settings for development.
# Variables of the environment win over every default here.
set -euo pipefail
build=${1:?usage: run-dev.sh BUILD}
cd "$(dirname "$0")/.."
top=$PWD
umask 022

# What make leaves behind would reach the shells.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES MAKE_TERMOUT MAKE_TERMERR

export USE_STUB_CONNECTOR=${USE_STUB_CONNECTOR-1}
export LISTEN_ADDR=${LISTEN_ADDR-127.0.0.1:8080}
export RUN_DIR=${RUN_DIR-$build/run-dev/run}
export STATE_DIR=${STATE_DIR-$build/run-dev/state}

uid=$(id -u)
if [ "$uid" = 0 ]; then
	build-aux/make-users.sh etc/sysusers.d/cloudshell-fog.conf
fi
# A run by another user may have left them behind.
for dir in "$build/run-dev" "$RUN_DIR" "$STATE_DIR"; do
	mkdir -p "$dir"
	if [ "$uid" = 0 ] && [ "$(stat -c %u "$dir")" != 0 ]; then
		chown root:root "$dir"
	fi
done

# fogd refuses a policy that another user could write, which a clone made by the user behind sudo is.
if [ -z "${POLICY_CONFIG+set}" ]; then
	POLICY_CONFIG=$top/etc/policy.yaml
	read -r owner mode < <(stat -c '%u %a' "$POLICY_CONFIG")
	if { [ "$owner" != 0 ] && [ "$owner" != "$uid" ]; } || (( 0$mode & 022 )); then
		POLICY_CONFIG=$build/run-dev/policy.yaml
		install -m 644 etc/policy.yaml "$POLICY_CONFIG"
		echo "run-dev: etc/policy.yaml can be written by others, using a copy: $POLICY_CONFIG"
	fi
	export POLICY_CONFIG
fi

exec "$build/sbin/fogd" -d
