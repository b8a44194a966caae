/* SPDX-License-Identifier: MIT */
/*
 * A session that another node has made for a request which was passed on to it lives on there only when
 * it is confirmed in time. That is done behind the answer, which it does not hold up, and what comes of
 * it is only logged: an attach by the session's owner confirms it too.
 */
#ifndef AUTHD_CONFIRM_H
#define AUTHD_CONFIRM_H

#include "authd/authd.h"

#define CONFIRM_TRIES 3
#define CONFIRM_WITHIN_MS UINT64_C(8000)
#define CONFIRMS_MAX 64 /* under way at once */

/* All of it is copied. */
struct confirmed {
	uint64_t id; /* of the request, for the log */
	struct id128 session_id;
	const char *url, *node, *self;
	const char *authorization; /* the value of the header; the copy is wiped */
};

void confirm_start(struct authd *a, const struct confirmed *what);
/* Gives all up. */
void confirms_free(struct authd *a);

#endif
