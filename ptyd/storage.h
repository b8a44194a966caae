/* SPDX-License-Identifier: MIT */
/*
 * What a session may write (S29): file systems of a fixed size, each an ext4 in a sparse file on a
 * loop device, for what is thrown away with the session and for homes that stay. Privileged, and
 * runs between fork and exec: allocates and logs nothing. Functions return 0 or -errno; results
 * are set only on success.
 *
 *   STATE_DIR/storage/scratch-2-BYTES.ext4   an empty one of that size, to be copied
 *   STATE_DIR/storage, without a name       of a living session: nothing stays of it after a crash
 *   STATE_DIR/homes/HEX.ext4                 a home; locked (flock) for as long as it is mounted
 *
 * A session never sees the file or the device, only the file system, so the host's kernel parses
 * nothing but what it has written itself. The device is free again when the last mount of it is
 * gone, whoever has died when (LO_FLAGS_AUTOCLEAR); the lock is the file's that the device holds.
 *
 *   -ENODEV  no loop devices, or no ext4, in this kernel      -EAGAIN  others took each free device
 *   -ENOSPC  less free on the host's disk than its margin     -EROFS   it cannot be written
 *   -ENOENT  e2fsprogs (mke2fs, e2fsck, resize2fs) missing    -EUCLEAN the file system is damaged
 *   -ERANGE  a size that is out of bounds                     -EBUSY   the home is in use
 *   -EOPNOTSUPP  STATE_DIR is on a file system without O_TMPFILE
 */
#ifndef FOG_STORAGE_H
#define FOG_STORAGE_H

#include <stdint.h>

#define STORAGE_MIN_BYTES (UINT64_C(16) << 20) /* a journal of 4 MiB in it */
#define STORAGE_MAX_BYTES (UINT64_C(8) << 40)  /* half of what ext4 lets a file have */
#define STORAGE_BYTES_PER_INODE 8192 /* so many files: bytes / this; the last MiB stays empty */
#define STORAGE_HOME_ID_BYTES 32
#define STORAGE_HOME_UID 1000 /* the session's user */

/* Nothing new unless all of it is free on the disk of STATE_DIR, and this or a 20th of the disk. */
#define STORAGE_MARGIN_MAX_BYTES (UINT64_C(1) << 30)

struct storage {
	int dir, homes;    /* O_PATH; -1 when empty */
	uint32_t tools_id; /* uid and gid of the programs of e2fsprogs; nobody else's */
};

#define STORAGE_EMPTY \
	{ \
		.dir = -1, .homes = -1 \
	}

/*
 * At start: makes what is not there yet in STATE_DIR (borrowed). -EPERM: a directory that is not
 * root's alone. The descriptors stay for the life of the process.
 */
int storage_open(struct storage *s, int state_dir, uint32_t tools_id);

/* In the maker, whose SIGCHLD is not ignored; a size is rounded down to 4 KiB. */

/*
 * A detached mount, nosuid and nodev, with the directories "upper" and "work" of first_id, 0755.
 * It and all in it are gone when the descriptor and the mounts made of it are.
 */
int storage_scratch(const struct storage *s, uint64_t bytes, uint32_t first_id, int *tree);

/*
 * A detached mount of that home, made when there is none yet: its root belongs to disk_first_id +
 * STORAGE_HOME_UID, 0700. One that is smaller grows to the size, a larger one stays as it is.
 * wait_ms: how long to wait for one in use, such as that of a session which has just ended and
 * whose data is still being written.
 */
int storage_home(const struct storage *s, const unsigned char home_id[STORAGE_HOME_ID_BYTES],
    uint64_t bytes, uint32_t disk_first_id, unsigned wait_ms, int *tree);

#endif
