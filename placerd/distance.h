/* SPDX-License-Identifier: MIT */
/*
 * How far a node is from a person who has not measured it. A page measures the few nodes that are near
 * (web/latency.ts), and policy may permit others alone: without a guess, one of those at the other end
 * of the world is as good as the next town's.
 */
#ifndef PLACERD_DISTANCE_H
#define PLACERD_DISTANCE_H

#include <stdint.h>

/*
 * By way of this node: own_ms as the client measured this node, mean_ms in which the other answers our
 * probes (fleet_mean_ms), which is never less than it is far, whatever it says. PLACE_LATENCY_NONE when
 * either is not known. Far above any measure is cut.
 */
uint32_t distance_guess(uint32_t own_ms, uint32_t mean_ms);

#endif
