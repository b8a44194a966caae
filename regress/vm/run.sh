#!/bin/bash
# SPDX-License-Identifier: MIT
# run.sh VMDIR PAYLOAD OUT: boots the machine that build.sh has made in VMDIR, runs PAYLOAD/run.sh in it as root and
# ends with its status; 125 when the machine gave none. PAYLOAD is a directory that appears as /payload; what
# its run.sh leaves in /payload/files is afterwards in OUT/files.tar. OUT/output is what it printed, OUT/console
# what the kernel did. VMTEST_TIMEOUT is the time limit in seconds.
#
# VMTEST_BESIDE is a program that is run beside it, with OUT and a URL: that port of this machine's loopback is port 8000 of
# 10.0.2.15 in there, where an interface waits to be given that address, and /payload/beside says which port it is. What it
# prints follows, and its status counts when the machine's is 0.
#
# Emulated, so that it needs no /dev/kvm and no root and is the same machine everywhere. Code in it is 20 times
# slower. It has no network but its loopback. Writes to its disk are thrown away, so runs can share an image.
# shellcheck disable=SC2054 # the commas are those of qemu's options
set -uo pipefail
usage="usage: run.sh VMDIR PAYLOAD OUT"
vm=${1:?$usage} payload=${2:?$usage} out=${3:?$usage}
readonly no_answer=125

# A port that nobody answers on.
free_port() {
	local try
	for _ in $(seq 50); do
		try=$((20000 + RANDOM % 12000))
		if ! (: <>/dev/tcp/127.0.0.1/$try) 2>/dev/null; then
			echo $try
			return
		fi
	done
}

mkdir -p "$out" || exit
rm -f "$out"/{output,console,status,files.tar,beside} "$payload/beside"
touch "$out"/{output,console,status}
network=(-nic none)
if [ -n "${VMTEST_BESIDE:-}" ]; then
	beside_port=$(free_port)
	echo "$beside_port" >"$payload/beside"
	network=(-nic "user,restrict=on,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:$beside_port-10.0.2.15:8000")
fi
tar -C "$payload" --owner=0 --group=0 --numeric-owner -cf "$out/payload.tar" . || exit

kernel_args=(
	console=ttyS0 loglevel=4 root=/dev/vda rw panic=-1 no_timer_check systemd.show_status=0
	mitigations=off random.trust_cpu=on
)
machine=(
	-machine q35 -accel tcg,thread=multi,tb-size=512 -cpu max -smp 2 -m 1536
	-nodefaults -no-user-config -display none -no-reboot "${network[@]}"
	-device virtio-rng-pci
)
boot=(-kernel "$vm/vmlinuz" -initrd "$vm/initrd.gz" -append "${kernel_args[*]}")
disks=(
	-drive "if=none,id=root,format=raw,file=$vm/root.img,snapshot=on,cache=unsafe"
	-device virtio-blk-pci,drive=root
	-drive "if=none,id=payload,format=raw,file=$out/payload.tar,readonly=on"
	-device virtio-blk-pci,drive=payload
)
ports=(
	-serial "file:$out/console" -device virtio-serial-pci
	-chardev "file,id=output,path=$out/output" -device virtserialport,chardev=output,name=vmtest.output
	-chardev "file,id=files,path=$out/files.tar" -device virtserialport,chardev=files,name=vmtest.files
	-chardev "file,id=status,path=$out/status" -device virtserialport,chardev=status,name=vmtest.status
)

if [ -n "${VMTEST_BESIDE:-}" ]; then
	"$VMTEST_BESIDE" "$out" "http://127.0.0.1:$beside_port" >"$out/beside" 2>&1 &
	beside=$!
fi
timeout --kill-after=10 "${VMTEST_TIMEOUT:-1500}" \
	qemu-system-x86_64 "${machine[@]}" "${boot[@]}" "${disks[@]}" "${ports[@]}" </dev/null
qemu_status=$?

# It has been waited for in there: whoever is not done by now waits in vain.
beside_status=0
if [ -n "${VMTEST_BESIDE:-}" ]; then
	timeout 10 tail --pid=$beside -f /dev/null || kill $beside
	wait $beside
	beside_status=$?
fi

cat "$out/output"
[ ! -e "$out/beside" ] || cat "$out/beside"
read -r status <"$out/status"
if [[ ! ${status:-} =~ ^[0-9]{1,3}$ ]]; then
	[ $qemu_status != 124 ] || echo "vm/run.sh: stopped after ${VMTEST_TIMEOUT:-1500} s" >&2
	echo "vm/run.sh: no answer from the machine (qemu: $qemu_status); the end of its console:" >&2
	tail -n 20 "$out/console" >&2
	exit $no_answer
fi
[ "$status" = 0 ] || exit "$status"
exit $beside_status
