/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What a command on /dev/sev changes of the platform's keys. It is in the platform's folder, and so for all who use this platform. */

#include <errno.h>
#include <fcntl.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sim-bytes.h"
#include "sim-cert.h"
#include "sim-machine.h"
#include "sim-platform.h"

enum {
        CERT_VERSION = 1,
        CERT_USAGE = 0x008,
        CERT_ALGO = 0x00c,
        CERT_KEY = 0x010,
        CERT_SIG_1 = 0x414,
        CERT_SIG_2 = 0x61c,
};

static EVP_PKEY *read_key(int folder, const char *name) {
        int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "re");
        EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

        if (f)
                fclose(f);
        else if (fd >= 0)
                close(fd);
        return key;
}

/* Under another name until it is whole: others read it meanwhile. */
static int replace_file(int folder, const char *name, const void *data, size_t size) {
        char part[64];
        ssize_t n;
        int fd, r;

        snprintf(part, sizeof(part), ".%s.%d", name, (int) getpid());
        fd = openat(folder, part, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
        if (fd < 0)
                return -errno;
        n = write(fd, data, size);
        r = n == (ssize_t) size ? 0 : n < 0 ? -errno : -ENOSPC;
        /* QEMU's user reads it, whatever the umask. */
        if (r >= 0 && fchmod(fd, 0644) < 0)
                r = -errno;
        close(fd);
        if (r >= 0 && renameat(folder, part, folder, name) < 0)
                r = -errno;
        if (r < 0)
                (void) unlinkat(folder, part, 0);
        return r;
}

static bool make_certificate(EVP_PKEY *key, EVP_PKEY *signer, uint8_t cert[static CERT_SIZE]) {
        memset(cert, 0, CERT_SIZE);
        put_le32(cert, CERT_VERSION);
        cert[4] = PSP_API_MAJOR;
        cert[5] = PSP_API_MINOR;
        put_le32(cert + CERT_USAGE, USAGE_PDH);
        put_le32(cert + CERT_ALGO, ALGO_ECDH_SHA256);
        put_le32(cert + CERT_SIG_2, USAGE_EMPTY);
        if (ec_key_to_amd(key, cert + CERT_KEY) < 0 ||
                        ec_sig_make(signer, EVP_sha256(), cert, CERT_SIGNED_SIZE, cert + CERT_SIG_1 + 8) < 0)
                return false;
        put_le32(cert + CERT_SIG_1, USAGE_PEK);
        put_le32(cert + CERT_SIG_1 + 4, ALGO_ECDSA_SHA256);
        return true;
}

static int write_pdh(int folder, EVP_PKEY *key, const uint8_t cert[static CERT_SIZE]) {
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int r = -EIO;

        if (bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
                long n = BIO_get_mem_data(bio, &text);
                r = replace_file(folder, "pdh.key", text, (size_t) n);
        }
        BIO_free(bio);
        return r < 0 ? r : replace_file(folder, "pdh.cert", cert, CERT_SIZE);
}

int platform_new_pdh(SimSevIssueCmd *cmd) {
        const char *path = getenv("CVMSPAWN_SEVSIM_PLATFORM");
        int folder = path ? open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1, r = -EIO;
        EVP_PKEY *pek = folder < 0 ? NULL : read_key(folder, "pek.key");
        EVP_PKEY *key = pek ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384") : NULL;
        uint8_t cert[CERT_SIZE];

        if (!pek)
                cmd->error = PSP_INVALID_PLATFORM_STATE;
        else if (!key || !make_certificate(key, pek, cert))
                cmd->error = PSP_RESOURCE_LIMIT;
        else {
                r = write_pdh(folder, key, cert);
                if (r < 0)
                        sim_log("cannot write a new PDH key to '%s': %s", path, strerror(-r));
        }
        EVP_PKEY_free(key);
        EVP_PKEY_free(pek);
        if (folder >= 0)
                close(folder);
        return r;
}
