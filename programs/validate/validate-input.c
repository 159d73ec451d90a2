/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What goes into a measurement: firmware, keys, kernel, initrd, words, VMSAs; and the rules between options. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "fd.h"
#include "firmware-guids.h"
#include "secret-file.h"
#include "sev-vmsa.h"
#include "validate.h"

#define FIRMWARE_SIZE_MAX  (256u * 1024 * 1024) /* OVMF images have 2 to 16 MiB */
#define BOOT_FILE_SIZE_MAX (UINT64_C(4) << 30)  /* QEMU loads kernel and initrd below 4 GiB */
#define KEY_FILE_SIZE_MAX  (1024u * 1024) /* a wrong file is named by its size; a huge one is not read */
#define COPY_SIZE          (256u * 1024)
#define TABLE_SIZE_MAX     UINT16_MAX

static int open_file(Validate *v, const char *path) {
        struct stat st;
        int fd = fd_open_read(path, PIPE_WRITER_USEC);

        if (fd < 0)
                return validate_fail_file(v, fd, path);
        if (fstat(fd, &st) >= 0 && S_ISDIR(st.st_mode)) {
                (void) fd_close(fd);
                return validate_fail_file(v, -EISDIR, path);
        }
        return fd;
}

int validate_load_firmware(Validate *v, const char *path) {
        _cleanup_close_ int fd = open_file(v, path);
        uint8_t digest[SHA256_SIZE];
        _cleanup_hash_ Hash *copy = NULL;
        char *data;
        int r;

        if (fd < 0)
                return fd;
        r = fd_read_all(fd, FIRMWARE_SIZE_MAX, &data, &v->firmware_size);
        if (r < 0)
                return validate_fail_file(v, r, path);
        v->firmware = (uint8_t *) data;
        r = hash_new(HASH_SHA256, &v->firmware_state);
        if (r >= 0)
                r = hash_update(v->firmware_state, v->firmware, v->firmware_size);
        if (r >= 0)
                r = hash_clone(v->firmware_state, &copy);
        if (r >= 0)
                r = hash_final(copy, digest);
        if (r < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        validate_debug_hex(v, "Firmware(sha256)", digest, sizeof(digest));
        return 0;
}

static int read_key(Validate *v, const char *path, size_t size, const char *what, SecretBuf *ret) {
        _cleanup_(secret_buf_done) SecretBuf b = {};
        _cleanup_close_ int fd = open_file(v, path);
        int r;

        if (fd < 0)
                return fd;
        r = secret_buf_read_fd(&b, fd, KEY_FILE_SIZE_MAX);
        if (r < 0)
                return validate_fail_file(v, r, path);
        if (v->args.strict && size == SEV_KEY_SIZE)
                validate_debug_hex(v, what[1] == 'I' ? "TIK(hex)" : "TEK(hex)", b.data, b.size);
        if (b.size != size)
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Expected %zu bytes in %s file, but got %zu",
                                size, what, b.size);
        *ret = TAKE_STRUCT(b, (SecretBuf) {});
        return 0;
}

int validate_load_keys(Validate *v) {
        _cleanup_(secret_buf_done) SecretBuf tik = {}, tek = {};
        int r;

        if (v->args.tk) {
                r = read_key(v, v->args.tk, sizeof(SevKeys), "TIK/TEK", &v->keys);
                if (r >= 0 && v->args.strict) {
                        validate_debug_hex(v, "TIK(hex)", validate_keys(v)->tik, SEV_KEY_SIZE);
                        validate_debug_hex(v, "TEK(hex)", validate_keys(v)->tek, SEV_KEY_SIZE);
                }
                return r;
        }
        r = read_key(v, v->args.tik, SEV_KEY_SIZE, "TIK", &tik);
        if (r >= 0)
                r = read_key(v, v->args.tek, SEV_KEY_SIZE, "TEK", &tek);
        if (r < 0)
                return r;
        if (secret_buf_alloc(&v->keys, sizeof(SevKeys)) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        memcpy(validate_keys(v)->tik, tik.data, SEV_KEY_SIZE);
        memcpy(validate_keys(v)->tek, tek.data, SEV_KEY_SIZE);
        return 0;
}

int validate_hash_file(Validate *v, const char *path, ValidateDigest *ret) {
        _cleanup_free_ uint8_t *buffer = malloc(COPY_SIZE);
        _cleanup_close_ int fd = open_file(v, path);
        _cleanup_hash_ Hash *hash = NULL;
        uint64_t size = 0, limit;

        if (fd < 0)
                return fd;
        limit = fd_read_limit(fd, BOOT_FILE_SIZE_MAX);
        if (!buffer || hash_new(HASH_SHA256, &hash) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        for (;;) {
                ssize_t n = read(fd, buffer, COPY_SIZE);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0)
                        return validate_fail_file(v, -errno, path);
                if (n == 0)
                        break;
                size += (uint64_t) n;
                if (size > limit)
                        return validate_fail_file(v, -E2BIG, path);
                if (hash_update(hash, buffer, (size_t) n) < 0)
                        return validate_fail(v, VALIDATE_ERROR, NULL);
        }
        if (hash_final(hash, ret->sha256) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        ret->present = true;
        return 0;
}

/* Where Python's strict encoder would stop: the command line is not UTF-8. The kernel accepts it, so we do, too. */
static int check_encodable(Validate *v, const char *words) {
        _cleanup_free_ char *shown = validate_repr(words);
        const char *surrogate = shown ? strstr(shown, "\\udc") : NULL;

        if (!surrogate || !v->args.strict)
                return 0;
        return validate_fail(
                        v, VALIDATE_ERROR, "'utf-8' codec can't encode characters: surrogates not allowed");
}

int validate_hash_words(Validate *v, const char *words) {
        size_t n = strlen(words), begin = strspn(words, " \t\r\n"), end = n;
        _cleanup_free_ char *line = malloc(n + 2);
        int r;

        r = check_encodable(v, words);
        if (r < 0)
                return r;
        if (!line)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        memcpy(line, words, n);
        line[n] = '\n';
        line[n + 1] = 0;
        if (hash_digest(HASH_SHA256, words, n + 1, v->words.sha256) < 0 ||
                        hash_digest(HASH_SHA256, line, n + 2, v->words_newline.sha256) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        while (end > begin && strchr(" \t\r\n", words[end - 1]))
                end--;
        line[end] = 0;
        if (hash_digest(HASH_SHA256, line + begin, end + 1 - begin, v->words_trimmed.sha256) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        v->words.present = v->words_newline.present = true;
        v->words_trimmed.present = end - begin != n;
        return 0;
}

static int vmsa_loaded(Validate *v, unsigned cpu) {
        uint8_t digest[SHA256_SIZE];

        if (hash_digest(HASH_SHA256, cpu == 0 ? v->vmsa0 : v->vmsa1, SEV_PAGE_SIZE, digest) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        validate_debug_hex(
                        v, cpu == 0 ? "VMSA CPU 0(sha256)" : "VMSA CPU 1(sha256)", digest, sizeof(digest));
        *(cpu == 0 ? &v->has_vmsa0 : &v->has_vmsa1) = true;
        return 0;
}

int validate_load_vmsa(Validate *v, unsigned cpu, const char *path) {
        _cleanup_close_ int fd = open_file(v, path);
        _cleanup_free_ char *data = NULL;
        size_t size;
        int r;

        if (fd < 0)
                return fd;
        r = fd_read_all(fd, KEY_FILE_SIZE_MAX, &data, &size);
        if (r < 0 && r != -E2BIG)
                return validate_fail_file(v, r, path);
        if (r < 0 || size != SEV_PAGE_SIZE)
                return validate_fail(v, VALIDATE_UNSUPPORTED, "VMSA must be 4096 bytes in length");
        memcpy(cpu == 0 ? v->vmsa0 : v->vmsa1, data, SEV_PAGE_SIZE);
        return vmsa_loaded(v, cpu);
}

/* The last `size` bytes of the range [0, end), fewer if there are fewer, as a little-endian number: Python's slices. */
static uint64_t tail_number(const uint8_t *p, size_t end, size_t size) {
        uint64_t n = 0;

        for (size_t i = 0; i < MIN(size, end); i++)
                n |= (uint64_t) p[end - 1 - i] << (8 * (MIN(size, end) - 1 - i));
        return n;
}

/* Walks the table from its end, leniently, as the original does: entries may overlap what lies in front of the table, and of two
 * entries the one nearer the beginning counts. The strict reader in firmware/ serves everything else. */
static int find_reset(Validate *v, const uint8_t *p, size_t end, bool *ret_found, uint64_t *ret) {
        static const Guid reset = GUID_SEV_ES_RESET_BLOCK;
        bool found = false;

        while (end > 0) {
                size_t length, data;

                if (end < sizeof(Guid))
                        return validate_fail(v, VALIDATE_ERROR, "bytes_le is not a 16-char string");
                length = (size_t) tail_number(p, end - sizeof(Guid), 2);
                data = length == 0 || length > end ? 0 : end - length;
                if (memcmp(p + end - sizeof(Guid), reset.bytes, sizeof(Guid)) == 0) {
                        size_t stop = end > 18 ? end - 18 : 0;

                        *ret = stop > data ? tail_number(p + data, MIN(stop - data, (size_t) 8),
                                                             MIN(stop - data, (size_t) 8))
                                           : 0;
                        found = true;
                }
                end = length == 0 ? 0 : data;
        }
        *ret_found = found;
        return 0;
}

static int reset_address(Validate *v, bool *ret_found, uint64_t *ret) {
        static const Guid footer = GUID_OVMF_TABLE_FOOTER;
        size_t n = v->firmware_size, length, begin;

        if (n < 48 || memcmp(v->firmware + n - 48, footer.bytes, sizeof(footer.bytes)) != 0)
                return validate_fail(v, VALIDATE_ERROR, "OVMF footer GUID not found");
        length = n >= 50 ? le16_read(v->firmware + n - 50) : 0;
        if (length == 0)
                return validate_fail(v, VALIDATE_ERROR, "OVMF tables zero length");
        begin = n > 32 + length ? n - 32 - length : 0;
        return find_reset(v, v->firmware + begin, begin < n - 50 ? n - 50 - begin : 0, ret_found, ret);
}

int validate_build_vmsas(Validate *v, uint64_t family, uint64_t model, uint64_t stepping) {
        VmsaSpec spec = { .profile = v->args.new_vm_type ? VMM_QEMU : VMM_QEMU_PRE_6_10 };
        uint64_t reset = 0, rdx;
        bool found = false;
        int r;

        r = reset_address(v, &found, &reset);
        if (r < 0)
                return r;
        family &= 0xfff;
        model &= 0xff;
        /* A family over 0x10e overflows the 32 bits of a signature; the original lets it, and so it does no harm here. */
        rdx = (stepping & 0xf) | (model & 0xf) << 4 | (model >> 4) << 16 |
                        (family > 0xf ? 0xf00 | (family - 0xf) << 20 : family << 8);
        vmsa_build(&spec, v->vmsa0);
        le64_write(v->vmsa0 + VMSA_RDX, rdx);
        r = vmsa_loaded(v, 0);
        if (r < 0)
                return r;
        if (!found)
                return validate_fail(v, VALIDATE_ERROR, "SEV info block GUID not found");
        spec.application = true;
        spec.entry = (uint32_t) reset;
        vmsa_build(&spec, v->vmsa1);
        le64_write(v->vmsa1 + VMSA_RDX, rdx);
        return vmsa_loaded(v, 1);
}
