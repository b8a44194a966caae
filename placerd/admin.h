/* SPDX-License-Identifier: MIT */
/* What the control socket asks for, done by the rest of placerd. */
#ifndef PLACERD_ADMIN_H
#define PLACERD_ADMIN_H

struct placerd;

/* Serves the control socket, if there is one. 0, or -1: said why in the log. */
int admin_start(struct placerd *d);

#endif
