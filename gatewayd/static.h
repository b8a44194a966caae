/* SPDX-License-Identifier: MIT */
/* The page: every file of one flat directory, read into memory before the root is given up. */
#ifndef GATEWAYD_STATIC_H
#define GATEWAYD_STATIC_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "gatewayd/answer.h"

struct static_files;

/* dir_fd is taken. NULL with errno. Names that are not [A-Za-z0-9._-]+ are left out. */
struct static_files *static_load(int dir_fd);
void static_free(struct static_files *files);
size_t static_count(const struct static_files *files);

/* "/" is index.html, "/signed-in" signed-in.html; NULL: there is none. */
const struct static_file *static_find(const struct static_files *files, struct view path);
/* signed-in.html, which the identity provider returns to, also within a frame of our own page. */
bool static_is_frameable(const struct static_file *file);
struct answer_file static_answer(const struct static_file *file);

#endif
