/* SPDX-License-Identifier: MIT */
/* The clocks, and times as text without the C library's time zones. */
#include "common/mono.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SECONDS_A_DAY 86400
#define DAYS_A_CYCLE 146097              /* the Gregorian calendar repeats after 400 years */
#define WALL_S_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */

static uint64_t
clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t
mono_ms(void)
{
	return clock_ms(CLOCK_MONOTONIC);
}

uint64_t
boot_ms(void)
{
	return clock_ms(CLOCK_BOOTTIME);
}

time_t
wall_s(void)
{
	struct timespec now;

	/* Not time(2): it may lag behind by a tick and disagree with the stamps of files. */
	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec;
}

struct civil_date {
	unsigned int year, month, day;
};

static unsigned int
days_of_year(unsigned int year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 366 : 365;
}

/* days counts from 1970-01-01. At most 400 + 12 steps of its loops. */
static struct civil_date
civil_from_days(unsigned int days)
{
	static const unsigned char month_days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30,
		31 };
	struct civil_date date = { 1970 + days / DAYS_A_CYCLE * 400, 0, 0 };
	unsigned int length;

	days %= DAYS_A_CYCLE;
	for (; days >= days_of_year(date.year); date.year++)
		days -= days_of_year(date.year);
	for (;; date.month++) {
		length = month_days[date.month];
		if (date.month == 1 && days_of_year(date.year) == 366)
			length++;
		if (days < length)
			break;
		days -= length;
	}
	date.month++;
	date.day = days + 1;
	return date;
}

static char *
put_decimal(char *at, unsigned int value, int digits, char after)
{
	for (int i = digits - 1; i >= 0; i--, value /= 10)
		at[i] = (char)('0' + value % 10);
	at[digits] = after;
	return at + digits + 1;
}

void
rfc3339_utc(time_t t, char out[static RFC3339_UTC_SIZE])
{
	int64_t bounded = t < 0 ? 0 : t > WALL_S_MAX ? WALL_S_MAX : t;
	unsigned int second = (unsigned int)(bounded % SECONDS_A_DAY);
	struct civil_date date = civil_from_days((unsigned int)(bounded / SECONDS_A_DAY));

	out = put_decimal(out, date.year, 4, '-');
	out = put_decimal(out, date.month, 2, '-');
	out = put_decimal(out, date.day, 2, 'T');
	out = put_decimal(out, second / 3600, 2, ':');
	out = put_decimal(out, second / 60 % 60, 2, ':');
	out = put_decimal(out, second % 60, 2, 'Z');
	*out = '\0';
}

static int
boot_id_check(const char text[static BOOT_ID_SIZE])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

	for (size_t i = 0; i < BOOT_ID_SIZE - 1; i++) {
		if (form[i] == '-' ? text[i] != '-' : strchr("0123456789abcdef", text[i]) == NULL)
			return -1;
	}
	return 0;
}

int
boot_id_read(char out[static BOOT_ID_SIZE])
{
	char text[BOOT_ID_SIZE] = { 0 };
	ssize_t n;
	int fd, saved;

	fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd == -1)
		return -1;
	n = read(fd, text, BOOT_ID_SIZE - 1);
	saved = errno;
	close(fd);
	errno = n < 0 ? saved : EBADMSG;
	if (n != BOOT_ID_SIZE - 1 || boot_id_check(text) != 0)
		return -1;
	memcpy(out, text, BOOT_ID_SIZE);
	return 0;
}
