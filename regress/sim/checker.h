/* SPDX-License-Identifier: MIT */
/*
 * The rules of placement once more, written naively from DESIGN 4 and place.h, and sharing no code
 * with place.c: what it decided is held against them.
 */
#ifndef FOG_SIM_CHECKER_H
#define FOG_SIM_CHECKER_H

#include "placerd/place.h"

/* What policy demands of a node, whatever its state: region, data labels, trust. */
bool checker_permits(const struct place_request *request, const struct place_node *node);
/* It is there, and takes sessions. */
bool checker_serves(const struct place_node *node);
bool checker_has_room(const struct place_request *request, const struct place_node *node);
/* All of them, and it has not been tried. */
bool checker_fits(const struct place_request *request, const struct place_node *node);

/* NULL when the choice is right; else what is wrong with it. */
const char *checker_judge(const struct place_request *request, const struct place_node *nodes,
    size_t n, int rc, const struct place_choice *choice);

#endif
