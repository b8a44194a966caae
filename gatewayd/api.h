/* SPDX-License-Identifier: MIT */
/*
 * The calls of DESIGN 3.1: the table of routes, the checks that all of them share, and one handler
 * each. A handler either answers (answer.h) or asks authd (peers.h).
 */
#ifndef GATEWAYD_API_H
#define GATEWAYD_API_H

#include "gatewayd/gatewayd.h"
#include "gatewayd/limits.h"

/*
 * When the headers are complete: trace, host, route, token, session id and whether a body may be.
 * Sets c->x; a refusal is kept in c->x.error.
 */
void api_check(struct conn *c, bool has_body);
/* Answers with what api_check found wrong. */
void api_answer_check(struct conn *c);
/* When the request is complete and nothing was wrong. */
void api_handle(struct conn *c);

/* For log and metrics: the pattern of the route, never the path. */
const char *api_route_name(const struct exchange *x);
size_t api_route_index(const struct exchange *x);
void api_route_label(size_t index, char *out, size_t out_size);
size_t api_route_count(void);

/* The value of a field that is there exactly once; p NULL: it is not. */
struct view api_header(const struct conn *c, const char *name);

/* What a request brings for authd to judge, in every payload that has it. */
#define API_CREDENTIALS(c) \
	.bearer = (c)->x.bearer, .scheme = (c)->x.scheme, .proof = (c)->x.proof, \
	.forwarded_by = (c)->x.forwarded_by

/*
 * -1 and c->x.error, when so many tokens of this source have been refused that another one is not
 * looked at.
 */
int api_check_guesses(struct conn *c);
/* As whom its guesses are counted. */
struct source_key api_guesser(const struct conn *c);
/* limits_take for its source; 0 for what a node passes on. */
uint32_t api_take(struct conn *c, enum limit_kind kind);
/*
 * Counts a refusal (401, or of a logout token), and what of it was a guess against the source. Any
 * other error is ignored. token_given: one came at all.
 */
void api_token_refused(struct gateway *g, const struct source_key *from, bool token_given,
    int error);

void api_create_session(struct conn *c);
void api_list_sessions(struct conn *c);
void api_show_session(struct conn *c);
void api_end_session(struct conn *c);
void api_extend_session(struct conn *c);
void api_confirm_session(struct conn *c);
void api_mint_attach(struct conn *c);
void api_attach(struct conn *c);
void api_list_profiles(struct conn *c);
void api_list_nodes(struct conn *c);
void api_node_status(struct conn *c);
void api_logout(struct conn *c);
void api_config(struct conn *c);
void api_health(struct conn *c);
void api_ready(struct conn *c);
void api_metrics(struct conn *c);

/* Answers a scrape. node: as placerd has told; NULL: nobody has. */
void api_metrics_answer(struct conn *c, const struct pl_gate_ready *node);

#endif
