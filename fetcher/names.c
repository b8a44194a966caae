/* SPDX-License-Identifier: MIT */
/*
 * Names into addresses, by evdns on the event loop: no thread, and no file after the start. What
 * comes back is judged before anything connects to it.
 */
#include "fetcher/fetcher.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <event2/dns.h>
#include <event2/util.h>

#include "common/log.h"
#include "fetcher/address.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS "/etc/hosts"
#define ADDRESS_TEXT_SIZE (INET6_ADDRSTRLEN + 3) /* brackets and a comma */

/* evdns tells each name that it asks for, and standard error is the log. */
static void
no_log(int is_warning, const char *text)
{
	(void)is_warning;
	(void)text;
}

int
names_init(struct fetcher *d)
{
	int flags = DNS_OPTION_SEARCH | DNS_OPTION_NAMESERVERS | DNS_OPTION_MISC;

	evdns_set_log_fn(no_log);
	if (evutil_secure_rng_init() != 0)
		return -1;
	d->names = evdns_base_new(d->base, 0);
	if (!d->names)
		return -1;
	/* Without one, evdns asks a server on this host, and answers from hosts all the same. */
	if (evdns_base_resolv_conf_parse(d->names, flags, RESOLV_CONF) != 0)
		log_warnx("event=no_name_servers file=" RESOLV_CONF);
	evdns_base_load_hosts(d->names, HOSTS);
	return 0;
}

/* Appends one address as CURLOPT_RESOLVE wants it; the first has no comma. */
static void
append(char *list, size_t size, const struct sockaddr *sa)
{
	const struct sockaddr_in6 *v6 = (const void *)sa;
	const struct sockaddr_in *v4 = (const void *)sa;
	bool is_v6 = sa->sa_family == AF_INET6;
	char text[INET6_ADDRSTRLEN];
	size_t len = strlen(list);

	inet_ntop(sa->sa_family, is_v6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, text,
	    sizeof(text));
	snprintf(list + len, size - len, "%s%s%s%s", len > 0 ? "," : "", is_v6 ? "[" : "", text,
	    is_v6 ? "]" : "");
}

/* One address that may not be is enough: such a name is no provider's. */
static enum fetch_error
collect(const struct fetch *f, const struct evutil_addrinfo *found, char *list, size_t size)
{
	unsigned count = 0;

	list[0] = '\0';
	for (; found && count < ADDRESSES_MAX; found = found->ai_next) {
		if (!address_is_allowed(found->ai_addr, f->target.may_be_private))
			return FETCH_E_ADDRESS;
		append(list, size, found->ai_addr);
		count++;
	}
	return count > 0 ? FETCH_OK : FETCH_E_NAME;
}

static void
on_resolved(int result, struct evutil_addrinfo *found, void *arg)
{
	char list[ADDRESSES_MAX * ADDRESS_TEXT_SIZE];
	enum fetch_error error = FETCH_E_NAME;
	struct fetch *f = arg;

	/* Cancelled: the fetch that asked is gone. */
	if (result == EVUTIL_EAI_CANCEL)
		return;
	f->name = NULL;
	if (result == 0)
		error = collect(f, found, list, sizeof(list));
	if (found)
		evutil_freeaddrinfo(found);
	if (error == FETCH_OK && transfer_start(f, list) != 0)
		error = FETCH_E_CONNECT;
	if (error != FETCH_OK)
		fetch_end(f, error);
}

void
names_resolve(struct fetch *f)
{
	struct evutil_addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct evdns_getaddrinfo_request *asked;

	asked = evdns_getaddrinfo(f->owner->names, f->target.url.host, NULL, &hints, on_resolved,
	    f);
	/* NULL: it is answered already, and f may be another fetch by now. */
	if (asked)
		f->name = asked;
}

void
names_cancel(struct fetch *f)
{
	if (f->name)
		evdns_getaddrinfo_cancel(f->name);
	f->name = NULL;
}
