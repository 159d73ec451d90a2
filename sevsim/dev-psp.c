/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "dev-psp.h"
#include "sim-bytes.h"
#include "sim-cert.h"

/* Offsets of AMD 56860, table "ATTESTATION_REPORT structure". */
enum {
        REPORT_GUEST_SVN = 0x004,
        REPORT_POLICY = 0x008,
        REPORT_FAMILY_ID = 0x010,
        REPORT_IMAGE_ID = 0x020,
        REPORT_VMPL = 0x030,
        REPORT_KEY_INFO = 0x048,
        REPORT_DATA = 0x050,
        REPORT_MEASUREMENT = 0x090,
        REPORT_CHIP_ID = 0x1a0,
        REPORT_COMMITTED_TCB = 0x1e0,
        REPORT_SIGNED = 0x2a0,
        KEY_INFO_VLEK = 1 << 2,
};

/* KEY_SEL of MSG_REPORT_REQ */
enum { KEY_SEL_DEFAULT, KEY_SEL_VCEK, KEY_SEL_VLEK };

/* GUEST_FIELD_SELECT of MSG_KEY_REQ */
enum {
        FIELD_POLICY = 1 << 0,
        FIELD_IMAGE_ID = 1 << 1,
        FIELD_FAMILY_ID = 1 << 2,
        FIELD_MEASUREMENT = 1 << 3,
        FIELD_SVN = 1 << 4,
        FIELD_TCB = 1 << 5,
        FIELD_LAUNCH_MIT = 1 << 6,
        FIELDS_V1 = FIELD_LAUNCH_MIT - 1,
        FIELDS_V2 = 2 * FIELD_LAUNCH_MIT - 1,
};

static int open_in(const char *folder, const char *name) {
        char path[4096];
        int fd;

        if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int) sizeof(path))
                return -ENAMETOOLONG;
        fd = open(path, O_RDONLY | O_CLOEXEC);
        return fd < 0 ? -errno : fd;
}

static int read_exact(const char *folder, const char *name, uint8_t *ret, size_t size) {
        int fd = open_in(folder, name);
        ssize_t n;

        if (fd < 0)
                return fd;
        n = read(fd, ret, size);
        close(fd);
        return n == (ssize_t) size ? 0 : -EIO;
}

static FILE *stream_in(const char *folder, const char *name) {
        int fd = open_in(folder, name);
        FILE *f = fd < 0 ? NULL : fdopen(fd, "r");

        if (!f && fd >= 0)
                close(fd);
        return f;
}

static EVP_PKEY *read_key(const char *folder, const char *name) {
        FILE *f = stream_in(folder, name);
        EVP_PKEY *key = f ? PEM_read_PrivateKey(f, NULL, NULL, NULL) : NULL;

        if (f)
                fclose(f);
        return key;
}

/* GHCB specification (AMD 56421), "SNP Extended Guest Request": GUIDs in the order of their text. */
static const struct {
        uint8_t guid[16];
        const char *vcek, *vlek; /* files */
        bool pem;
} cert_rows[] = {
        { { 0xc0, 0xb4, 0x06, 0xa4, 0xa8, 0x03, 0x49, 0x52, 0x97, 0x43, 0x3f, 0xb6, 0x01, 0x4c, 0xd0, 0xae },
                        "ark.pem", "ark.pem", true },
        { { 0x4a, 0xb7, 0xb3, 0x79, 0xbb, 0xac, 0x4f, 0xe4, 0xa0, 0x2f, 0x05, 0xae, 0xf3, 0x27, 0xc7, 0x82 },
                        "ask.pem", "asvk.pem", true },
        { { 0x63, 0xda, 0x75, 0x8d, 0xe6, 0x64, 0x45, 0x64, 0xad, 0xc5, 0xf4, 0xb9, 0x3b, 0xe8, 0xac, 0xcd },
                        "vcek.der", NULL, false },
        { { 0xa8, 0x07, 0x4b, 0xc2, 0xa2, 0x5a, 0x48, 0x3e, 0xaa, 0xe6, 0x39, 0xc0, 0x45, 0xa0, 0xb8, 0xa1 },
                        NULL, "vlek.der", false },
};
enum { CERT_ROWS = sizeof(cert_rows) / sizeof(cert_rows[0]), CERT_ENTRY_SIZE = 24 };

/* The certificate as DER at `p`, of at most `max` bytes: its size or -errno. */
static int put_cert(const char *folder, const char *name, bool pem, uint8_t *p, size_t max) {
        FILE *f = stream_in(folder, name);
        X509 *cert = NULL;
        int n = -EIO;

        if (f)
                cert = pem ? PEM_read_X509(f, NULL, NULL, NULL) : d2i_X509_fp(f, NULL);
        if (cert && (n = i2d_X509(cert, NULL)) > 0)
                n = (size_t) n > max ? -ENOSPC : i2d_X509(cert, &p);
        X509_free(cert);
        if (f)
                fclose(f);
        return n;
}

static int make_certs(DevCerts *c, const char *platform, bool vlek) {
        size_t at = (CERT_ROWS + 1) * (size_t) CERT_ENTRY_SIZE, row = 0;

        for (size_t i = 0; i < CERT_ROWS; i++) {
                const char *name = vlek ? cert_rows[i].vlek : cert_rows[i].vcek;
                uint8_t *entry = c->table + row * CERT_ENTRY_SIZE;
                int n;

                if (!name)
                        continue;
                n = put_cert(platform, name, cert_rows[i].pem, c->table + at, DEV_CERTS_MAX - at);
                if (n <= 0)
                        return n < 0 ? n : -EIO;
                memcpy(entry, cert_rows[i].guid, 16);
                put_le32(entry + 16, (uint32_t) at);
                put_le32(entry + 20, (uint32_t) n);
                at += (size_t) n;
                row++;
        }
        c->size = at;
        return 0;
}

static int make_template(DevPsp *psp, const DevLaunch *launch, const SimGeneration *generation) {
        PspGuest guest = {
                .state = GUEST_RUNNING, .policy = launch->policy, .guest_svn = launch->guest_svn
        };

        if (launch->folder)
                return read_exact(launch->folder, "report.bin", psp->report, sizeof(psp->report));
        memcpy(guest.digest, launch->measurement, sizeof(guest.digest));
        memcpy(guest.host_data, launch->host_data, sizeof(guest.host_data));
        return psp_snp_report(&guest, generation, psp->report) == PSP_SUCCESS ? 0 : -EIO;
}

const DevCerts *dev_psp_certs(const DevPsp *psp) {
        return psp->table_damaged ? &psp->damaged : psp->vlek_loaded ? &psp->with_vlek : &psp->with_vcek;
}

int dev_psp_open(const char *platform, const DevLaunch *launch, bool certs, DevPsp *ret) {
        unsigned n = 0;
        int r;

        r = read_exact(platform, "chip-id.bin", ret->chip_id, sizeof(ret->chip_id));
        if (r == 0)
                r = make_template(ret, launch, generation_of(platform));
        if (r == 0 && certs)
                r = make_certs(&ret->with_vcek, platform, /* vlek= */ false);
        if (r == 0 && certs)
                r = make_certs(&ret->with_vlek, platform, /* vlek= */ true);
        if (r < 0)
                return r;
        ret->damaged = ret->with_vcek;
        put_le32(ret->damaged.table + 16, UINT32_MAX); /* the first entry lies outside */
        ret->vcek = read_key(platform, "vcek.key");
        ret->vlek = read_key(platform, "vlek.key");
        if (!ret->vcek || !ret->vlek)
                return -ENOKEY;
        /* A real chip derives from a key that nobody sees; this one from its number. */
        if (EVP_Digest(ret->chip_id, sizeof(ret->chip_id), ret->secret, &n, EVP_sha256(), NULL) != 1)
                return -EIO;
        return 0;
}

uint32_t dev_psp_report(const DevPsp *psp, const uint8_t request[static DEV_REPORT_REQUEST_SIZE],
                uint8_t ret[static PSP_SNP_REPORT_SIZE]) {
        uint32_t vmpl = get_le32(request + DEV_DATA_SIZE), key = get_le32(request + DEV_DATA_SIZE + 4);
        bool vlek = key == KEY_SEL_VLEK || (key == KEY_SEL_DEFAULT && psp->vlek_loaded);

        /* A level below the guest's own number is more privileged than it is. */
        if (vmpl < psp->vmpl || vmpl > DEV_VMPL_MAX)
                return DEV_STATUS_INVALID_PARAM;
        for (size_t i = DEV_DATA_SIZE + 8; i < DEV_REPORT_REQUEST_SIZE; i++)
                if (request[i] != 0)
                        return DEV_STATUS_INVALID_PARAM;
        if (key > KEY_SEL_VLEK || (vlek && !psp->vlek_loaded))
                return DEV_STATUS_INVALID_KEY;

        memcpy(ret, psp->report, PSP_SNP_REPORT_SIZE);
        memcpy(ret + REPORT_DATA, request, DEV_DATA_SIZE);
        put_le32(ret + REPORT_VMPL, vmpl);
        if (vlek) /* the chip stays unnamed */
                ret[REPORT_KEY_INFO] |= KEY_INFO_VLEK;
        else
                memcpy(ret + REPORT_CHIP_ID, psp->chip_id, DEV_CHIP_ID_SIZE);
        return ec_sig_make(vlek ? psp->vlek : psp->vcek, EVP_sha384(), ret, REPORT_SIGNED,
                               ret + REPORT_SIGNED) < 0
                        ? DEV_STATUS_INVALID_KEY
                        : DEV_STATUS_OK;
}

/* Component by component, as TCBs are compared. */
static bool tcb_exceeds(uint64_t a, const uint8_t *b) {
        for (unsigned i = 0; i < 8; i++)
                if ((a >> (8 * i) & 0xff) > b[i])
                        return true;
        return false;
}

/* The real mixing function is AMD's secret; this one has the same inputs and so the same equalities. */
uint32_t dev_psp_key(const DevPsp *psp, unsigned version, const uint8_t request[static DEV_KEY_REQUEST_SIZE],
                uint8_t ret[static DEV_KEY_SIZE]) {
        uint32_t root = get_le32(request), vmpl = get_le32(request + 16), svn = get_le32(request + 20);
        uint64_t fields = get_le64(request + 8), tcb = get_le64(request + 24);
        uint8_t mix[160] = {};
        unsigned n = 0;

        if (get_le32(request + 4) != 0 || (fields & ~(uint64_t) (version >= 2 ? FIELDS_V2 : FIELDS_V1)) ||
                        vmpl < psp->vmpl || vmpl > DEV_VMPL_MAX ||
                        ((fields & FIELD_SVN) && svn > get_le32(psp->report + REPORT_GUEST_SVN)) ||
                        ((fields & FIELD_TCB) && tcb_exceeds(tcb, psp->report + REPORT_COMMITTED_TCB)))
                return DEV_STATUS_INVALID_PARAM;
        if (root > 1)
                return DEV_STATUS_INVALID_KEY;

        put_le32(mix, root);
        put_le32(mix + 4, vmpl);
        put_le64(mix + 8, fields);
        if (fields & FIELD_POLICY)
                memcpy(mix + 16, psp->report + REPORT_POLICY, 8);
        if (fields & FIELD_IMAGE_ID)
                memcpy(mix + 24, psp->report + REPORT_IMAGE_ID, 16);
        if (fields & FIELD_FAMILY_ID)
                memcpy(mix + 40, psp->report + REPORT_FAMILY_ID, 16);
        if (fields & FIELD_MEASUREMENT)
                memcpy(mix + 56, psp->report + REPORT_MEASUREMENT, 48);
        if (fields & FIELD_SVN)
                put_le32(mix + 104, svn);
        if (fields & FIELD_TCB)
                put_le64(mix + 108, tcb);
        if (fields & FIELD_LAUNCH_MIT)
                memcpy(mix + 116, request + 32, 8);
        return HMAC(EVP_sha256(), psp->secret, sizeof(psp->secret), mix, sizeof(mix), ret, &n)
                        ? DEV_STATUS_OK
                        : DEV_STATUS_INVALID_KEY;
}
