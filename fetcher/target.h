/* SPDX-License-Identifier: MIT */
/* What is to be fetched: an https URL, whether its host is a name, and whose host it is. */
#ifndef FETCHER_TARGET_H
#define FETCHER_TARGET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "authd/metadata.h"
#include "common/buf.h"

enum host_kind { HOST_NAME, HOST_ADDRESS };

struct target {
	struct https_url url;
	enum host_kind kind;
	struct sockaddr_storage address; /* of HOST_ADDRESS, with the port */
	bool may_be_private; /* the operator has named it: the issuer's host, or a node */
};

/*
 * Reads a URL of the provider's. issuer: that of the configuration, read; its text is empty when there
 * is none, and then there is no such URL. Returns 0 or -1: no clean https URL, or a host that some
 * readers take for an address and others for a name, such as 127.1, 0x7f000001 or 2130706433. *out is
 * set only on success.
 */
int target_parse(struct view url, const struct https_url *issuer, struct target *out);

/* The same for a node's: -1 also when FLEET_ORIGINS, origins, does not cover it. */
int target_parse_node(struct view url, const char *origins, struct target *out);

#endif
