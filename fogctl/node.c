/* SPDX-License-Identifier: MIT */
/* `fogctl node keygen` and `fogctl node show-key`. */
#include "fogctl/node.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "common/cleanup.h"
#include "common/nodetoken.h"
#include "fogctl/fogctl.h"

#define KEY_FILE_MAX_BYTES 65536
#define SPKI_BYTES 91 /* of P-256, uncompressed (RFC 5480) */

enum { OPTION_OUT, OPTION_HELP, OPTION_COUNT };

static const struct fogctl_option options[OPTION_COUNT] = {
	[OPTION_OUT] = { "out", "FILE", "keygen: the new file of the key; default node.key" },
	[OPTION_HELP] = { "help", NULL, "print this" },
};

/* What the line says, as it was understood. */
struct wish {
	const char *out, *file;
};

static enum fogctl_exit run_keygen(const struct wish *w);
static enum fogctl_exit run_show_key(const struct wish *w);

static const struct command {
	const char *name, *shown;
	int arguments;
	enum fogctl_exit (*run)(const struct wish *w);
	const char *help;
} commands[] = {
	{ "keygen", "", 0, run_keygen, "make a key, and print its line for nodes.yaml" },
	{ "show-key", "FILE", 1, run_show_key, "print the line for nodes.yaml of a key" },
};

/* --- the line of nodes.yaml --- */

static enum fogctl_exit
fail(const char *file, const char *what)
{
	fprintf(stderr, "fogctl: %s: %s\n", file, what);
	return EXIT_USAGE;
}

/* With what errno says. */
static enum fogctl_exit
fail_errno(const char *file, const char *what)
{
	bool has_no_right = errno == EACCES || errno == EPERM;

	fprintf(stderr, "fogctl: %s: %s: %s\n", file, what, strerrordesc_np(errno));
	return has_no_right ? EXIT_NO_RIGHTS : EXIT_USAGE;
}

static enum fogctl_exit
print_line(const char *file, const unsigned char spki[static SPKI_BYTES])
{
	char text[4 * (SPKI_BYTES + 2) / 3 + 1];

	EVP_EncodeBlock((unsigned char *)text, spki, SPKI_BYTES);
	printf("public_key: \"%s\"\n", text);
	return fflush(stdout) == 0 ? EXIT_DONE : fail(file, "the line could not be written");
}

/* The DER of the SubjectPublicKeyInfo of P-256 but for its point (RFC 5480 2). */
static const unsigned char spki_head[SPKI_BYTES - NODETOKEN_KEY_BYTES] = { 0x30, 0x59, 0x30, 0x13,
	0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
	0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00 };

/* Read as the service will read it: what it would refuse is refused here. */
static enum fogctl_exit
print_line_of(const char *file, const void *pem, size_t len)
{
	unsigned char spki[SPKI_BYTES];
	const char *why;
	struct nodetoken_key *key = nodetoken_key_new(pem, len, &why);

	if (!key) {
		fprintf(stderr, "fogctl: %s: %s; a key is made by: fogctl node keygen\n", file,
		    why);
		return EXIT_USAGE;
	}
	memcpy(spki, spki_head, sizeof(spki_head));
	nodetoken_key_public(key, spki + sizeof(spki_head));
	nodetoken_key_free(key);
	return print_line(file, spki);
}

/* --- keygen --- */

/* PKCS #8 in memory that is wiped when it is freed. NULL: OpenSSL cannot. */
static BIO *
make_pem(void)
{
	EVP_PKEY *pkey = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_secmem());
	bool ok = pkey && bio &&
	    PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1;

	EVP_PKEY_free(pkey);
	if (ok)
		return bio;
	BIO_free(bio);
	return NULL;
}

/* Whole and on the disk, or not there. */
static int
write_file(const char *file, const char *bytes, size_t len)
{
	cleanup_fd int fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    S_IRUSR | S_IWUSR);
	ssize_t n;
	int saved;

	if (fd < 0)
		return -1;
	n = fchmod(fd, S_IRUSR | S_IWUSR) == 0 ? write(fd, bytes, len) : -1;
	if (n == (ssize_t)len && fsync(fd) == 0)
		return 0;
	saved = n < 0 ? errno : EIO;
	unlink(file);
	errno = saved;
	return -1;
}

static enum fogctl_exit
write_key(const char *file, BIO *bio)
{
	char *pem;
	long len = BIO_get_mem_data(bio, &pem);

	if (write_file(file, pem, (size_t)len) == 0)
		return print_line_of(file, pem, (size_t)len);
	if (errno == EEXIST)
		return fail(file,
		    "it is there already, and no key is overwritten; name another "
		    "one with --out");
	return fail_errno(file, "cannot be written");
}

static enum fogctl_exit
run_keygen(const struct wish *w)
{
	BIO *bio = make_pem();
	enum fogctl_exit status;

	if (!bio) {
		ERR_print_errors_fp(stderr);
		return fail(w->out, "OpenSSL made no key");
	}
	status = write_key(w->out, bio);
	BIO_free(bio);
	return status;
}

/* --- show-key --- */

static enum fogctl_exit
run_show_key(const struct wish *w)
{
	cleanup_fd int fd = open(w->file, O_RDONLY | O_CLOEXEC);
	unsigned char pem[KEY_FILE_MAX_BYTES];
	enum fogctl_exit status;
	ssize_t n;

	n = fd < 0 ? -1 : read(fd, pem, sizeof(pem));
	if (n < 0)
		return fail_errno(w->file, "cannot be read");
	status = print_line_of(w->file, pem, (size_t)n);
	explicit_bzero(pem, sizeof(pem));
	return status;
}

/* --- the command line --- */

static void
print_usage(FILE *out)
{
	fprintf(out, "usage: fogctl node COMMAND [OPTION...] [FILE]\n\nCommands:\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		char line[80];

		snprintf(line, sizeof(line), "%s %s", commands[i].name, commands[i].shown);
		fprintf(out, "  %-20s  %s\n", line, commands[i].help);
	}
	fprintf(out, "\nOptions:\n");
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		char line[80];

		snprintf(line, sizeof(line), "--%s%s%s", options[i].name,
		    options[i].argument ? " " : "", options[i].argument ? options[i].argument : "");
		fprintf(out, "  %-20s  %s\n", line, options[i].help);
	}
}

static int
refuse_usage(const char *what, const char *which)
{
	fprintf(stderr, "fogctl node: %s%s%s\nTry: fogctl node --help\n", what, which ? ": " : "",
	    which ? which : "");
	return EXIT_USAGE;
}

static int
run(struct wish *w, char **words, int count)
{
	if (count == 0)
		return refuse_usage("a command is needed", NULL);
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (strcmp(words[0], commands[i].name) != 0)
			continue;
		if (count - 1 != commands[i].arguments)
			return refuse_usage("wrong number of arguments for", words[0]);
		if (w->out && commands[i].run != run_keygen)
			return refuse_usage("takes no --out", words[0]);
		w->out = w->out ? w->out : "node.key";
		w->file = words[1];
		return (int)commands[i].run(w);
	}
	return refuse_usage("there is no such command", words[0]);
}

int
node_main(int argc, char **argv)
{
	struct option long_options[OPTION_COUNT + 1] = { 0 };
	struct wish wish = { 0 };
	int option;

	for (int i = 0; i < OPTION_COUNT; i++)
		long_options[i] = (struct option){ options[i].name,
			options[i].argument ? required_argument : no_argument, NULL, i };
	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case OPTION_OUT:
			wish.out = optarg;
			break;
		case OPTION_HELP:
			print_usage(stdout);
			return EXIT_DONE;
		default:
			fprintf(stderr, "Try: fogctl node --help\n");
			return EXIT_USAGE;
		}
	}
	return run(&wish, argv + optind, argc - optind);
}
