#!/bin/bash
# SPDX-License-Identifier: MIT
# build.sh OUTDIR: makes OUTDIR/{vmlinuz,initrd.gz,root.img}, a Debian 12 with systemd for run.sh. Takes root, an
# amd64 machine and the Debian archive; APT_SOURCES names another list of sources than the machine's own.
#
# Nothing of this machine is mounted or booted: the kernel package is unpacked and not installed, and mke2fs
# fills the file system from a directory.
set -euo pipefail
out=${1:?usage: build.sh OUTDIR}

# What the programs link, what the units need, and what the checks look with.
packages=(
	systemd systemd-sysv dbus udev kmod ca-certificates
	libevent-2.1-7 libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 libwslay1 libssl3 libcurl4
	libjansson4 libyaml-0-2 libseccomp2 libnftables1 libmnl0 e2fsprogs
	iproute2 nftables openssl procps util-linux curl jq skopeo umoci
)
# Debian's cloud kernel has these as modules. The first three lead to the disk and are in the initial RAM disk.
disk_modules=(virtio_pci virtio_blk ext4)
modules=(
	virtio_console virtio_rng virtio_net overlay loop veth dummy sch_netem
	nf_tables nft_ct nft_nat nft_masq nft_limit nft_log nft_reject_inet nft_fib_inet nft_chain_nat
	nft_connlimit nft_objref nf_log_syslog
)
# Units that are of no use to a machine that lives for a minute, and slow it down.
idle_units=(
	apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service
	fstrim.timer getty@tty1.service serial-getty@ttyS0.service ldconfig.service modprobe@drm.service
	systemd-hwdb-update.service systemd-journal-catalog-update.service systemd-machine-id-commit.service
	systemd-pstore.service systemd-random-seed.service systemd-timesyncd.service systemd-update-done.service
	systemd-update-utmp.service systemd-update-utmp-runlevel.service
)

fail() {
	echo "vm/build.sh: $*" >&2
	exit 1
}

find_sources() {
	local file
	for file in "${APT_SOURCES:-}" /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
		if [ -s "$file" ]; then
			echo "$file"
			return
		fi
	done
	fail "no list of apt sources; name one in APT_SOURCES"
}

join_by_comma() {
	local IFS=,
	echo "$*"
}

# The hook runs outside of the new root, with the lists that mmdebstrap has just fetched for it: this machine's
# own may be older than the archive.
make_root() {
	local sources
	sources=$(find_sources)
	mkdir "$work/deb"
	# shellcheck disable=SC2016 # the hook's own shell expands these
	DEB_DIR=$work/deb mmdebstrap --quiet --variant=minbase --mode=root \
		--include="$(join_by_comma "${packages[@]}")" \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--customize-hook='cd "$DEB_DIR"; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
			kernel=$(apt-cache depends linux-image-cloud-amd64 | awk "\$1 == \"Depends:\" { print \$2; exit }")
			apt-get -qq -o APT::Sandbox::User=root download "$kernel"' \
		bookworm "$root" "$sources"
	rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
}

unpack_kernel() {
	dpkg-deb -x "$work"/deb/linux-image-*.deb "$work/kernel"
	version=$(basename "$work"/kernel/lib/modules/*)
	depmod -b "$work/kernel" "$version"
	cp "$work/kernel/boot/vmlinuz-$version" "$work/vmlinuz"
}

# The files of these modules and of those they need, in the order in which they can be loaded.
module_files() {
	local name
	for name in "$@"; do
		modprobe -d "$work/kernel" -S "$version" --show-depends "$name"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

install_modules() {
	local to=$root/lib/modules/$version file
	mkdir -p "$to"
	cp "$work/kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$to/"
	module_files "${disk_modules[@]}" "${modules[@]}" | while read -r file; do
		install -D -m 644 "$file" "$root/${file#"$work/kernel/"}"
	done
	depmod -b "$root" "$version"
}

make_initrd() {
	local to=$work/initrd file
	mkdir -p "$to"/{bin,dev,proc,modules,new}
	cp /bin/busybox "$to/bin/"
	: >"$to/modules/order"
	module_files "${disk_modules[@]}" | while read -r file; do
		cp "$file" "$to/modules/"
		basename "$file" >>"$to/modules/order"
	done
	cat >"$to/init" <<-'INIT'
		#!/bin/busybox sh
		busybox=/bin/busybox
		$busybox mount -t devtmpfs none /dev
		$busybox mount -t proc none /proc
		while read -r module; do $busybox insmod "/modules/$module"; done </modules/order
		tries=0
		until [ -b /dev/vda ] || [ $tries -gt 100 ]; do
			$busybox usleep 50000
			tries=$((tries + 1))
		done
		$busybox mount -t ext4 -o rw,noatime /dev/vda /new || exec $busybox poweroff -f
		$busybox mount --move /dev /new/dev
		$busybox umount /proc
		exec $busybox switch_root /new /sbin/init
	INIT
	chmod 755 "$to/init"
	(cd "$to" && find . | cpio -o -H newc --quiet -R 0:0 | gzip) >"$work/initrd.gz"
}

# The payload is a tar file that is the second disk. Its output, its files and its exit status go to three serial
# ports, the status last: where there is none, the machine did not come to its end.
make_agent() {
	cat >"$root/usr/local/sbin/vmtest-agent" <<-'AGENT'
		#!/bin/bash
		port=/dev/virtio-ports/vmtest
		modprobe virtio_console
		udevadm wait --timeout=30 $port.{output,files,status} || exit 1
		exec >$port.output 2>&1 </dev/null
		mkdir -p /payload/files
		cd /payload && tar -xf /dev/vdb && ./run.sh
		status=$?
		tar -C /payload -cf $port.files files
		echo $status >$port.status
		sync
		systemctl poweroff --force --force >/dev/null 2>&1
	AGENT
	chmod 755 "$root/usr/local/sbin/vmtest-agent"
	# Type=exec: with oneshot the start-up would not be over while the payload runs.
	cat >"$root/etc/systemd/system/vmtest.service" <<-'UNIT'
		[Unit]
		Description=the payload of a test
		After=multi-user.target
		[Service]
		Type=exec
		ExecStart=/usr/local/sbin/vmtest-agent
		StandardOutput=null
		StandardError=journal+console
	UNIT
	cat >"$root/etc/systemd/system/vmtest.target" <<-'UNIT'
		[Unit]
		Requires=multi-user.target
		Wants=vmtest.service
		After=multi-user.target
		AllowIsolate=yes
	UNIT
	ln -sf vmtest.target "$root/etc/systemd/system/default.target"
}

configure_guest() {
	local unit
	echo vmtest >"$root/etc/hostname"
	printf '127.0.0.1 localhost vmtest\n::1 localhost\n' >"$root/etc/hosts"
	: >"$root/etc/fstab"
	# An empty one would make each boot a first boot, which enables and disables units.
	od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$root/etc/machine-id"
	for unit in "${idle_units[@]}"; do
		ln -sf /dev/null "$root/etc/systemd/system/$unit"
	done
	mkdir -p "$root/etc/systemd/journald.conf.d"
	printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' >"$root/etc/systemd/journald.conf.d/vmtest.conf"
}

[ "$(id -u)" = 0 ] || fail "needs root, for the owners of the files in the image"
[ "$(uname -m)" = x86_64 ] || fail "makes an amd64 image, and run.sh emulates an amd64 machine"
work=$(mktemp -d "${TMPDIR:-/var/tmp}/vm-build.XXXXXX")
trap 'rm -rf --one-file-system "$work"' EXIT
root=$work/root
began=$SECONDS

make_root
unpack_kernel
install_modules
make_initrd
make_agent
configure_guest
mke2fs -q -t ext4 -O ^has_journal -E nodiscard -m 0 -d "$root" "$work/root.img" 2G >/dev/null

mkdir -p "$out"
cp "$work"/{vmlinuz,initrd.gz} "$out/"
# Last: it is what make holds against this script.
cp --sparse=always "$work/root.img" "$out/root.img.new"
mv "$out/root.img.new" "$out/root.img"
echo "vm/build.sh: $out, kernel $version, $(du -m "$out/root.img" | cut -f1) MiB, in $((SECONDS - began)) s"
