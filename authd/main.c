/* SPDX-License-Identifier: MIT */
/* authd: the role, and the keys of attach tokens. */
#include "authd/authd.h"

#include <stdlib.h>
#include <string.h>

#include "authd/confirm.h"
#include "authd/peers.h"
#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"

#define KEY_MIN_BYTES 32 /* RFC 7518 3.2 */
#define KEY_MAX_BYTES 64

static struct authd authd;

static int
take_key(int fd, struct secret *key)
{
	size_t len = 0;
	char *bytes = proc_read_file(fd, KEY_MAX_BYTES, &len);
	int rc = -1;

	close_fd(&fd);
	if (!bytes) {
		log_warn("event=start_failed step=\"read the signing key\"");
		return -1;
	}
	if (len >= KEY_MIN_BYTES)
		rc = secret_copy(key, bytes, len);
	else
		log_error("event=start_failed step=\"signing key\" detail=\"it is too short\"");
	explicit_bzero(bytes, len);
	free(bytes);
	return rc;
}

/* Without a configured key a random one, which dies with this process: clients mint again. */
static int
load_keys(struct token_keys *keys)
{
	int fd = proc_take_gift(GIFT_AUTHD_SIGNING_KEY);
	int previous = proc_take_gift(GIFT_AUTHD_SIGNING_KEY_PREVIOUS);
	int rc = fd >= 0 ? take_key(fd, &keys->signing_key)
			 : secret_init_random(&keys->signing_key, KEY_MIN_BYTES);

	if (rc == 0 && previous >= 0)
		return take_key(previous, &keys->previous);
	close_fd(&previous);
	return rc;
}

static int
load(void *ctx)
{
	struct authd *a = ctx;

	a->keys.ttl_seconds = proc_config()->attach_token_ttl_seconds;
	if (verify_init(&a->keys) != 0) {
		log_warn("event=start_failed step=\"token libraries\"");
		return -1;
	}
	if (verify_configure(a, proc_config()) != 0)
		return -1;
	return load_keys(&a->keys);
}

static int
start(void *ctx)
{
	struct authd *a = ctx;

	if (a->dev_shim)
		log_warnx("event=dev_shim detail=\"any bearer token is taken\"");
	return peers_start(a);
}

static void
stop(void *ctx, bool end_sessions)
{
	struct authd *a = ctx;

	(void)end_sessions;
	confirms_free(a);
	secret_wipe(&a->keys.signing_key);
	secret_wipe(&a->keys.previous);
}

int
main(void)
{
	const struct role role = {
		.id = PROC_AUTHD,
		.ctx = &authd,
		.handlers = authd_handlers,
		.phase_of = peers_phase_of,
		.load = load,
		.start = start,
		.edge_up = peers_edge_up,
		.edge_down = peers_edge_down,
		.stop = stop,
	};

	return proc_main(&role);
}
