/* SPDX-License-Identifier: MIT */
/* Temporary folders: see tempdir.h. */
#include "regress/bench/tempdir.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *
tempdir_parent(void)
{
	const char *tmp = getenv("TMPDIR");

	return tmp && *tmp ? tmp : "/tmp";
}

/* out is empty until it is made, so that only what is ours is removed. */
int
tempdir_make(const char *parent, char *out, size_t size)
{
	char path[256];
	int len = snprintf(path, sizeof(path), "%s/fog-bench-XXXXXX", parent);

	out[0] = '\0';
	if (len < 0 || (size_t)len >= sizeof(path) || (size_t)len >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (!mkdtemp(path))
		return -1;
	memcpy(out, path, (size_t)len + 1);
	return chmod(out, 0755); /* sessions read the flood's file */
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	(void)ftw;
	remove(path);
	return 0;
}

void
tempdir_remove(char *path)
{
	if (path[0] != '\0')
		nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	path[0] = '\0';
}
