/* SPDX-License-Identifier: MIT */
/* Linked into the programs of a sanitized build only: settings of AddressSanitizer's runtime. */

const char *__asan_default_options(void);

/*
 * Leaks are looked for by a tracer thread, which cannot attach to a process that is not dumpable and would
 * end it with an error of its own. The unit tests look for leaks.
 */
const char *
__asan_default_options(void)
{
	return "detect_leaks=0:strict_string_checks=1";
}
