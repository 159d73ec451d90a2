/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* sevsim-identity [--short] [--generation=NAME] FOLDER: makes up the identity of one simulated platform and writes it there. The short one
 * is what the chip itself exports; AMD's part, which needs RSA keys and with them seconds, is left out. */

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "identity.h"

enum { RSA_BITS = 4096, SALT = 48 };

static const char usage[] =
                "Usage: sevsim-identity [--short] [--generation=milan|genoa|turin] FOLDER\n"
                "Makes up the identity of a simulated SEV platform. A simulation: nothing of it is AMD's.\n";

int identity_write_file(
                const Identity *identity, const char *name, const void *data, size_t size, mode_t mode) {
        int fd = openat(identity->dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
        size_t done = 0;
        int r = 0;

        if (fd < 0)
                return -errno;
        while (r == 0 && done < size) {
                ssize_t n = write(fd, (const char *) data + done, size - done);

                if (n > 0)
                        done += (size_t) n;
                else if (n == 0 || errno != EINTR)
                        r = n == 0 ? -EIO : -errno;
        }
        if (close(fd) < 0 && r == 0)
                r = -errno;
        return r;
}

EVP_MD_CTX *identity_pss_begin(EVP_PKEY *key) {
        EVP_MD_CTX *ctx = EVP_MD_CTX_new();
        EVP_PKEY_CTX *parameters = NULL; /* owned by ctx */

        if (ctx && EVP_DigestSignInit(ctx, &parameters, EVP_sha384(), NULL, key) == 1 &&
                        EVP_PKEY_CTX_set_rsa_padding(parameters, RSA_PKCS1_PSS_PADDING) > 0 &&
                        EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, EVP_sha384()) > 0 &&
                        EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, SALT) > 0)
                return ctx;
        EVP_MD_CTX_free(ctx);
        return NULL;
}

typedef struct KeyRow {
        const char *name;
        size_t offset;
        bool rsa;
        mode_t mode;
} KeyRow;

/* The processor inside the monitor's process, whatever its user, works with the PDH's and the PEK's keys; a
 * verifier's tests sign reports with the other two that are readable. */
static const KeyRow keys[] = {
        { "ark.key", offsetof(Identity, ark), true, 0600 },
        { "ask.key", offsetof(Identity, ask), true, 0600 },
        { "asvk.key", offsetof(Identity, asvk), true, 0600 },
        { "cek.key", offsetof(Identity, cek), false, 0600 },
        { "oca.key", offsetof(Identity, oca), false, 0600 },
        { "pek.key", offsetof(Identity, pek), false, 0644 },
        { "pdh.key", offsetof(Identity, pdh), false, 0644 },
        { "vcek.key", offsetof(Identity, vcek), false, 0644 },
        { "vlek.key", offsetof(Identity, vlek), false, 0644 },
};

static EVP_PKEY **key_place(Identity *identity, const KeyRow *row) {
        return (EVP_PKEY **) (void *) ((char *) identity + row->offset);
}

static int write_key(const Identity *identity, const KeyRow *row, EVP_PKEY *key) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = -EIO;

        if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)) {
                long n = BIO_get_mem_data(bio, &text);
                r = identity_write_file(identity, row->name, text, (size_t) n, row->mode);
        }
        BIO_free(bio);
        return r;
}

static int make_keys(Identity *identity, bool whole) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
                EVP_PKEY *key;
                int r;

                if (keys[i].rsa && !whole)
                        continue;
                key = keys[i].rsa ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t) RSA_BITS)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
                if (!key)
                        return -EIO;
                *key_place(identity, &keys[i]) = key;
                r = write_key(identity, &keys[i], key);
                if (r < 0)
                        return r;
        }
        return 0;
}

static void identity_done(Identity *identity) {
        for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
                EVP_PKEY_free(*key_place(identity, &keys[i]));
        if (identity->dir_fd >= 0)
                close(identity->dir_fd);
}

/* In the folder, too, it says that this is a simulation. */
static int write_generation(const Identity *identity) {
        char text[128];
        int n = snprintf(text, sizeof(text), "%s (simulation by cvmspawn sevsim: nothing here is AMD's)\n",
                        identity->generation->name);

        return identity_write_file(identity, "generation", text, (size_t) n, 0644);
}

static int make_identity(const char *path, bool whole, const SimGeneration *generation) {
        Identity identity = { .dir_fd = -EBADF, .generation = generation };
        int r = 0;

        /* Without memory for its context, OpenSSL 3.0 uses it all the same. */
        if (OPENSSL_init_crypto(0, NULL) != 1 || !OSSL_LIB_CTX_get0_global_default())
                return -ENOMEM;
        if (mkdir(path, 0755) < 0 && errno != EEXIST)
                return -errno;
        identity.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (identity.dir_fd < 0)
                return -errno;

        if (RAND_bytes(identity.chip_id, (int) generation->chip_id_size) != 1)
                r = -EIO;
        if (r >= 0)
                r = write_generation(&identity);
        if (r >= 0)
                r = identity_write_file(&identity, "chip-id.bin", identity.chip_id, CHIP_ID_SIZE, 0644);
        if (r >= 0)
                r = make_keys(&identity, whole);
        if (r >= 0)
                r = identity_write_sev(&identity, whole);
        if (r >= 0 && whole)
                r = identity_write_x509(&identity);
        /* Where it is, all else is there: without it the next run makes another one. */
        if (r < 0)
                (void) unlinkat(identity.dir_fd, "pdh.cert", 0);
        identity_done(&identity);
        return r;
}

int main(int argc, char *argv[]) {
        static const struct option options[] = {
                { "short", no_argument, NULL, 's' },
                { "generation", required_argument, NULL, 'g' },
                { "help", no_argument, NULL, 'h' },
                {},
        };
        const SimGeneration *generation = generation_by_name("genoa");
        bool whole = true;
        int c, r;

        while ((c = getopt_long(argc, argv, "h", options, NULL)) >= 0)
                switch (c) {
                case 's':
                        whole = false;
                        break;
                case 'g':
                        generation = generation_by_name(optarg);
                        break;
                case 'h':
                        fputs(usage, stdout);
                        return EXIT_SUCCESS;
                default:
                        return EXIT_FAILURE;
                }
        if (argc - optind != 1 || !generation) {
                fputs(usage, stderr);
                return EXIT_FAILURE;
        }
        r = make_identity(argv[optind], whole, generation);
        if (r < 0) {
                fprintf(stderr, "sevsim-identity (simulation): cannot write an identity to '%s': %s\n",
                                argv[optind], strerror(-r));
                return EXIT_FAILURE;
        }
        return EXIT_SUCCESS;
}
