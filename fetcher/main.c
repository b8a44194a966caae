/* SPDX-License-Identifier: MIT */
/* The fetcher: the role, and what it needs from the file system. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/cleanup.h"
#include "common/log.h"
#include "common/proc.h"
#include "fetcher/fetcher.h"

#define CA_MAX_BYTES (4u << 20)
#define SYSTEM_CA "/etc/ssl/certs/ca-certificates.crt"

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
load_authorities(struct fetcher *d)
{
	cleanup_fd int fd = proc_take_gift(GIFT_FETCHER_CA);
	const char *origin = fd >= 0 ? "OIDC_CA_FILE" : SYSTEM_CA;

	if (fd < 0)
		fd = open(SYSTEM_CA, O_RDONLY | O_CLOEXEC);
	d->ca = fd < 0 ? NULL : proc_read_file(fd, CA_MAX_BYTES, &d->ca_len);
	if (!d->ca) {
		log_warn("event=start_failed step=\"read the certificate authorities\" file=%s",
		    origin);
		return -1;
	}
	if (count_certificates(d->ca, d->ca_len) > 0)
		return 0;
	log_error("event=start_failed step=\"certificate authorities\" file=%s "
		  "detail=\"it holds no certificate in PEM\"",
	    origin);
	return -1;
}

/* Without an issuer nothing will ever be fetched, and nothing is loaded for it. */
static int
load(void *ctx)
{
	const char *issuer = proc_config()->oidc_issuer_url;
	struct fetcher *d = ctx;

	d->base = proc_base();
	for (size_t i = 0; i < FETCHES_MAX; i++)
		d->fetches[i].owner = d;
	if (!*issuer)
		return 0;
	if (issuer_parse(issuer, &d->issuer) != 0) {
		log_error(
		    "event=start_failed step=\"OIDC_ISSUER_URL\" detail=\"not an https URL\"");
		return -1;
	}
	if (transfer_init(d) == 0 && names_init(d) == 0)
		return load_authorities(d);
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

int
main(void)
{
	const struct role role = {
		.id = PROC_FETCHER,
		.ctx = &fetcher,
		.handlers = fetcher_handlers,
		.phase_of = requests_phase_of,
		.load = load,
		.edge_up = edge_up,
		.edge_down = edge_down,
	};

	int rc = proc_main(&role);

	fetch_end_all(&fetcher);
	return rc;
}
