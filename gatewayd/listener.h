/* SPDX-License-Identifier: MIT */
/* Accepting, within a limit for all and one for each source address (S12). */
#ifndef GATEWAYD_LISTENER_H
#define GATEWAYD_LISTENER_H

#include <stdbool.h>
#include <stddef.h>

struct gateway;
struct listener;
struct source;

#define LISTENER_ADDR_SIZE 64 /* "[…]:65535" */

/* fd (taken) listens already. NULL when out of memory. */
struct listener *listener_new(struct gateway *g, int fd, bool is_metrics);
void listener_free(struct listener *l);

/* Where fd really listens, "127.0.0.1:8080" or "[::1]:8080". 0, or -1 with errno. */
int listener_address(int fd, char addr[static LISTENER_ADDR_SIZE], bool *is_loopback,
    bool *is_wildcard);

/* One connection of this source has ended. NULL is fine. */
void source_release(struct source *s);

#endif
