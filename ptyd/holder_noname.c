/* SPDX-License-Identifier: MIT */
/*
 * The holder is one static program, and libevent has functions that look up names, which nobody calls
 * here. These stand in for libc's, which would bring a resolver and modules that are loaded at run time.
 */
#include <netdb.h>
#include <stdlib.h>

int
getaddrinfo(const char *restrict name, const char *restrict service,
    const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
	(void)name;
	(void)service;
	(void)hints;
	(void)out;
	return EAI_FAIL;
}

/* Of what the one above has made: nothing. */
void
freeaddrinfo(struct addrinfo *list)
{
	(void)list;
	abort();
}

const char *
gai_strerror(int error)
{
	(void)error;
	return "no names are looked up here";
}

struct servent *
getservbyname(const char *name, const char *protocol)
{
	(void)name;
	(void)protocol;
	return NULL;
}

struct protoent *
getprotobynumber(int number)
{
	(void)number;
	return NULL;
}
