/* SPDX-License-Identifier: MIT */
/* The fetcher, and the prober: the role, and what it needs from the file system. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/cleanup.h"
#include "common/fleetorigins.h"
#include "common/log.h"
#include "common/proc.h"
#include "fetcher/fetcher.h"

#define CA_MAX_BYTES (4u << 20)
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

static const struct fetcher_role roles[] = {
	{ "fetcher", PROC_FETCHER, EDGE_AUTH_FETCH, MSG_AUTH_FETCHED_PART, MSG_AUTH_FETCHED,
	    false },
	{ "prober", PROC_PROBER, EDGE_PLACE_PROBE, MSG_PLACE_FETCHED_PART, MSG_PLACE_FETCHED,
	    true },
};

static struct fetcher fetcher;

static unsigned
count_certificates(const char *pem, size_t len)
{
	BIO *in = BIO_new_mem_buf(pem, (int)len);
	unsigned count = 0;
	X509 *cert;

	while (in && (cert = PEM_read_bio_X509(in, NULL, NULL, NULL))) {
		X509_free(cert);
		count++;
	}
	BIO_free(in);
	return count;
}

/* What the operator gave; else what the system trusts. */
static int
load_authorities(struct lane *l, enum gift gift, const char *variable)
{
	cleanup_fd int fd = proc_take_gift(gift);
	const char *origin = fd >= 0 ? variable : SYSTEM_CA;

	if (fd < 0)
		fd = open(SYSTEM_CA, O_RDONLY | O_CLOEXEC);
	l->ca = fd < 0 ? NULL : proc_read_file(fd, CA_MAX_BYTES, &l->ca_len);
	if (!l->ca) {
		log_warn("event=start_failed step=\"read the certificate authorities\" file=%s",
		    origin);
		return -1;
	}
	if (count_certificates(l->ca, l->ca_len) > 0)
		return 0;
	log_error("event=start_failed step=\"certificate authorities\" file=%s "
		  "detail=\"it holds no certificate in PEM\"",
	    origin);
	return -1;
}

static int
load_provider(struct fetcher *d)
{
	if (issuer_parse(proc_config()->oidc_issuer_url, &d->issuer) == 0)
		return load_authorities(&d->lanes[FETCH_TO_PROVIDER], GIFT_FETCHER_CA,
		    "OIDC_CA_FILE");
	log_error("event=start_failed step=\"OIDC_ISSUER_URL\" detail=\"not an https URL\"");
	return -1;
}

static int
load_fleet(struct fetcher *d)
{
	const char *why;

	d->origins = proc_config()->fleet_origins;
	if (fleetorigins_check(d->origins, &why) == 0)
		return load_authorities(&d->lanes[FETCH_TO_NODE], GIFT_FETCHER_FLEET_CA,
		    "FLEET_CA_FILE");
	log_error("event=start_failed step=\"FLEET_ORIGINS\" detail=\"%s\"", why);
	return -1;
}

static void
init(struct fetcher *d)
{
	d->base = proc_base();
	for (size_t i = 0; i < FETCHES_MAX; i++)
		d->fetches[i].owner = d;
	for (int to = FETCH_TO_PROVIDER; to <= FETCH_TO_NODE; to++)
		d->lanes[to] = (struct lane){ .owner = d, .kind = &lane_kinds[to] };
}

/* Where nothing will ever be fetched, nothing is loaded for it. */
static int
load(void *ctx)
{
	const struct config *c = proc_config();
	struct fetcher *d = ctx;
	bool has_provider = *c->oidc_issuer_url; /* the prober's configuration has none */
	bool has_fleet = *c->fleet_origins && (*c->nodes_config || !d->role->is_prober);

	init(d);
	if (!has_provider && !has_fleet)
		return 0;
	if ((has_provider && load_provider(d) != 0) || (has_fleet && load_fleet(d) != 0))
		return -1;
	if (transfer_init() == 0 && names_init(d) == 0 &&
	    (!has_provider || transfer_open(&d->lanes[FETCH_TO_PROVIDER]) == 0) &&
	    (!has_fleet || transfer_open(&d->lanes[FETCH_TO_NODE]) == 0))
		return 0;
	log_error("event=start_failed step=\"network libraries\"");
	return -1;
}

static void
edge_up(void *ctx, struct peer *p)
{
	(void)ctx;
	log_debug("event=neighbour peer=%s", proc_name(peer_other(p)));
}

/* Nobody waits for it any more. */
static void
edge_down(void *ctx, enum edge edge)
{
	(void)edge;
	fetch_end_all(ctx);
}

/* By the name that fogd gives it, that of the program. */
static const struct fetcher_role *
find_role(const char *name)
{
	const char *slash = strrchr(name, '/');

	return strcmp(slash ? slash + 1 : name, roles[1].name) == 0 ? &roles[1] : &roles[0];
}

int
main(int argc, char **argv)
{
	const struct fetcher_role *which = find_role(argc > 0 ? argv[0] : "");
	const struct role role = {
		.id = which->id,
		.ctx = &fetcher,
		.handlers = fetcher_handlers,
		.phase_of = requests_phase_of,
		.load = load,
		.edge_up = edge_up,
		.edge_down = edge_down,
	};

	int rc;

	fetcher.role = which;
	rc = proc_main(&role);
	fetch_end_all(&fetcher);
	return rc;
}
