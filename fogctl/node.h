/* SPDX-License-Identifier: MIT */
/*
 * `fogctl node`: the key that a node signs its words to the others with, made and shown on this
 * machine; no service is asked.
 */
#ifndef FOGCTL_NODE_H
#define FOGCTL_NODE_H

/* argv[0] is "node". Returns enum fogctl_exit. */
int node_main(int argc, char **argv);

#endif
