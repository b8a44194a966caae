#!/bin/bash
# SPDX-License-Identifier: MIT
# An OCI image as registries have them (image-spec 1.0: layers that are compressed, a manifest, a configuration, an index
# of platforms), imported by Debian's skopeo and umoci, named in the policy by its digest, and run by the installed service.
. ./lib.sh

readonly dir=/root/oci layout=/root/oci/layout
readonly media=application/vnd.oci.image
mkdir -p $dir/one $dir/two $layout/blobs/sha256

# A shell, and what it needs. The second layer changes and removes what is in the first (OCI image-spec, layer.md).
make_layers() {
	local program file
	mkdir -p $dir/one/{bin,etc,home,lib,proc,dev,tmp,run,usr} $dir/two/etc
	for program in bash cat id ls; do
		cp /usr/bin/$program $dir/one/bin/
		ldd /usr/bin/$program | grep -o '/[^ ]*' | while read -r file; do
			install -D "$file" "$dir/one$file"
		done
	done
	ln -s bash $dir/one/bin/sh
	echo first >$dir/one/etc/motd
	echo 'to be removed' >$dir/one/etc/removed
	echo second >$dir/two/etc/motd
	: >$dir/two/etc/.wh.removed
	tar -C $dir/one --owner=0 --group=0 -I "gzip -1" -cf $dir/one.tar.gz . &&
		tar -C $dir/two --owner=0 --group=0 -I "gzip -1" -cf $dir/two.tar.gz .
}

# put_blob FILE MEDIA-TYPE: into the layout; prints its descriptor.
put_blob() {
	local digest
	digest=$(sha256sum <"$1" | cut -d ' ' -f 1)
	cp "$1" "$layout/blobs/sha256/$digest"
	jq -nc --arg type "$2" --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$1")" \
		'{mediaType: $type, digest: $digest, size: $size}'
}

diff_id() {
	zcat "$1" | sha256sum | sed 's/^/sha256:/; s/ .*//'
}

make_layout() {
	local layers config
	make_layers || return
	layers=$(for name in one two; do put_blob $dir/$name.tar.gz $media.layer.v1.tar+gzip; done | jq -sc .)
	jq -nc --arg one "$(diff_id $dir/one.tar.gz)" --arg two "$(diff_id $dir/two.tar.gz)" '{architecture: "amd64", os: "linux",
		config: {Env: ["PATH=/bin"], Cmd: ["/bin/sh"]}, rootfs: {type: "layers", diff_ids: [$one, $two]}}' >$dir/config
	config=$(put_blob $dir/config $media.config.v1+json)
	jq -nc --argjson layers "$layers" --argjson config "$config" --arg type $media.manifest.v1+json \
		'{schemaVersion: 2, mediaType: $type, config: $config, layers: $layers}' >$dir/manifest
	put_blob $dir/manifest $media.manifest.v1+json | jq -c '{schemaVersion: 2, manifests: [. + {
		platform: {architecture: "amd64", os: "linux"}, annotations: {"org.opencontainers.image.ref.name": "latest"}}]}' \
		>$layout/index.json
	echo '{"imageLayoutVersion": "1.0.0"}' >$layout/oci-layout
}

is_refused() {
	local said
	said=$("$@" 2>&1) && {
		echo "it was taken: $said"
		return 1
	}
	echo "$said"
}

allows() {
	cp /etc/cloudshell-fog/policy.yaml /root/policy.before
	sed -i "s/    images: \[\(.*\)\]/    images: [\1, \"$1\"]/" /etc/cloudshell-fog/policy.yaml
	systemctl reload $unit
}

asks_for() {
	api POST /v1/sessions '{"profile": "default", "ttl_seconds": 600, "image_ref": "'"$1"'"}'
}

audit_names() {
	grep -q "\"session_id\":\"$session\".*${1#*@}\|${1#*@}.*\"session_id\":\"$session\"" \
		/var/lib/cloudshell-fog/audit/audit.jsonl
}

check 'image import: an OCI layout' make_layout || exit
check 'image import: the layout is taken' fogctl image import $layout mini || exit
image=mini@$(fogctl image list --json | jq -r '.images[] | select(.name == "mini") | .digest')
check 'image import: the policy does not allow it yet' is_refused asks_for "$image"
check 'image import: the policy names it' allows "$image"
session=$(asks_for "$image" | jq -er .session_id)
check 'image import: a session in it' [ -n "$session" ] || explain
check 'image import: what its second layer changes and removes is so' type_line "$session" \
	'[ -e /etc/removed ] || cat /etc/motd' '^second$'
check 'image import: the audit log has its digest' audit_names "$image"
check 'image import: the session ends' api DELETE "/v1/sessions/$session"
cat /root/policy.before >/etc/cloudshell-fog/policy.yaml
systemctl reload $unit
check 'image import: fogctl image rm' fogctl image rm mini
# The last is where skopeo keeps notes of its own.
rm -r $dir /root/policy.before /var/lib/containers
