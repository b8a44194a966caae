/* SPDX-License-Identifier: MIT */
/* For tests with TLS: self-signed pairs, and files to give to tls_new(). */
#ifndef FOG_TEST_TLS_PAIR_H
#define FOG_TEST_TLS_PAIR_H

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

/* A self-signed pair as PEM. */
struct pair {
	char cert[4096], key[4096];
};

static void
to_text(BIO *bio, char out[static 4096])
{
	int len = BIO_read(bio, out, 4095);

	assert_true(len > 0);
	out[len] = '\0';
	BIO_free(bio);
}

static void
make_pair(struct pair *p)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *cert_bio = BIO_new(BIO_s_mem()), *key_bio = BIO_new(BIO_s_mem());
	X509 *cert = X509_new();

	assert_non_null(key);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(cert), 0);
	X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
	X509_set_pubkey(cert, key);
	assert_true(X509_sign(cert, key, EVP_sha256()) > 0);
	assert_int_equal(PEM_write_bio_X509(cert_bio, cert), 1);
	assert_int_equal(PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL), 1);
	to_text(cert_bio, p->cert);
	to_text(key_bio, p->key);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static int
file_of(const char *text)
{
	int fd = memfd_create("pem", MFD_CLOEXEC);

	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	return fd;
}

#endif
