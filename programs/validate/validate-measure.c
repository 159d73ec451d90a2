/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* The expected measurement, step by step as the original shows it, and its lenient base64. */

#include <errno.h>
#include <string.h>

#include "measure-hashes.h"
#include "validate.h"

static int digit_value(char c) {
        return c >= 'A' && c <= 'Z'            ? c - 'A'
                        : c >= 'a' && c <= 'z' ? c - 'a' + 26
                        : c >= '0' && c <= '9' ? c - '0' + 52
                        : c == '+'             ? 62
                        : c == '/'             ? 63
                                               : -1;
}

/* Python's b64decode() without validation: foreign characters are skipped, and padding ends the text where it completes
 * a group of four. Keeps at most max bytes and returns in *ret_size how many there were. */
static int decode_base64(Validate *v, const char *text, uint8_t *buf, size_t max, size_t *ret_size) {
        size_t size = 0, n_digits = 0;
        unsigned held = 0, pads = 0;
        uint32_t bits = 0;

        for (const char *p = text; *p; p++)
                if ((unsigned char) *p >= 0x80)
                        return validate_fail(v, VALIDATE_ERROR,
                                        "string argument should contain only ASCII characters");
        for (const char *p = text; *p; p++) {
                int d = digit_value(*p);

                if (*p == '=') {
                        if (held >= 2 && held + ++pads >= 4) {
                                *ret_size = size;
                                return 0;
                        }
                        continue;
                }
                if (d < 0)
                        continue;
                pads = 0;
                n_digits++;
                bits = bits << 6 | (uint32_t) d;
                if (held > 0) {
                        if (size < max)
                                buf[size] = (uint8_t) (bits >> (6 - 2 * held));
                        size++;
                }
                held = (held + 1) % 4;
        }
        if (held == 1)
                return validate_fail(v, VALIDATE_ERROR,
                                "Invalid base64-encoded string: number of data characters (%zu) cannot be 1 more than a multiple of 4",
                                n_digits);
        if (held > 0)
                return validate_fail(v, VALIDATE_ERROR, "Incorrect padding");
        *ret_size = size;
        return 0;
}

bool validate_is_es(const Validate *v) {
        return v->args.policy.low & 0x4;
}

/* In the order in which the original packs them. */
static int pack_numbers(Validate *v, SevMeasurement *m) {
        const struct {
                const ValidateInt *number;
                uint64_t max;
        } numbers[] = {
                { &v->args.api_major, UINT8_MAX },
                { &v->args.api_minor, UINT8_MAX },
                { &v->args.build_id, UINT8_MAX },
                { &v->args.policy, UINT32_MAX },
        };

        FOREACH_ARRAY(n, numbers, ELEMENTSOF(numbers)) {
                if (n->number->negative)
                        return validate_fail(v, VALIDATE_ERROR, "can't convert negative int to unsigned");
                if (n->number->big || n->number->low > n->max)
                        return validate_fail(v, VALIDATE_ERROR, "int too big to convert");
        }
        m->api_major = (uint8_t) v->args.api_major.low;
        m->api_minor = (uint8_t) v->args.api_minor.low;
        m->build = (uint8_t) v->args.build_id.low;
        m->policy = (uint32_t) v->args.policy.low;
        return 0;
}

static int add_kernel_table(Validate *v, Hash *hash) {
        const uint8_t nothing[1] = {};
        uint8_t table[SEV_HASH_TABLE_SIZE];
        KernelHashes h;

        if (!v->kernel.present)
                return 0;
        if ((!v->initrd.present && hash_digest(HASH_SHA256, NULL, 0, v->initrd.sha256) < 0) ||
                        (!v->words.present && hash_digest(HASH_SHA256, nothing, 1, v->words.sha256) < 0))
                return validate_fail(v, VALIDATE_ERROR, NULL);
        memcpy(h.kernel, v->kernel.sha256, SHA256_SIZE);
        memcpy(h.initrd, v->initrd.sha256, SHA256_SIZE);
        memcpy(h.cmdline, v->words.sha256, SHA256_SIZE);
        kernel_hashes_table(&h, table);

        validate_debug_hex(v, "Kernel(sha256)", h.kernel, SHA256_SIZE);
        validate_debug_hex(v, "Initrd(sha256)", h.initrd, SHA256_SIZE);
        validate_debug_hex(v, "Cmdline(sha256)", h.cmdline, SHA256_SIZE);
        validate_debug_hex(v, "Table(hex)", table, sizeof(table));
        if (hash_update(hash, table, sizeof(table)) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        return 0;
}

static int check_cpus(Validate *v, uint64_t *ret_count) {
        const ValidateInt *n = &v->args.num_cpus;
        bool many = !n->negative && (n->big || n->low > 1);

        if (!n->given)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "Number of virtual CPUs must be specified for SEV-ES domain");
        if (!v->has_vmsa0)
                return validate_fail(
                                v, VALIDATE_UNSUPPORTED, "VMSA for boot CPU required for SEV-ES domain");
        if (many && !v->has_vmsa1)
                return validate_fail(v, VALIDATE_UNSUPPORTED,
                                "VMSA for additional CPUs required for SEV-ES domain with SMP");
        if (v->args.strict && !v->has_vmsa1)
                return validate_fail(v, VALIDATE_ERROR,
                                "unsupported operand type(s) for *: 'NoneType' and 'int'");
        if (!v->args.strict && (n->negative || n->low == 0))
                return validate_fail(v, VALIDATE_UNSUPPORTED, "Number of virtual CPUs must be at least 1");
        if (many && (n->big || n->low > VALIDATE_VCPUS_MAX))
                return validate_fail(v, v->args.strict ? VALIDATE_ERROR : VALIDATE_UNSUPPORTED,
                                "Number of virtual CPUs must be at most %u", VALIDATE_VCPUS_MAX);
        *ret_count = many ? n->low : 1;
        return 0;
}

static int add_cpu_state(Validate *v, Hash *hash) {
        _cleanup_hash_ Hash *own = NULL;
        uint8_t digest[SHA256_SIZE];
        uint64_t count = 0;
        int r;

        r = check_cpus(v, &count);
        if (r < 0)
                return r;
        r = hash_new(HASH_SHA256, &own);
        for (uint64_t i = 0; i < count && r >= 0; i++) {
                const uint8_t *page = i == 0 ? v->vmsa0 : v->vmsa1;

                r = hash_update(hash, page, SEV_PAGE_SIZE);
                if (r >= 0 && v->args.debug)
                        r = hash_update(own, page, SEV_PAGE_SIZE);
        }
        if (r >= 0 && v->args.debug)
                r = hash_final(own, digest);
        if (r < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        if (v->args.debug)
                validate_debug_hex(v, "VMSA(sha256)", digest, sizeof(digest));
        return 0;
}

/* The launch digest: firmware, kernel hashes, VMSAs. */
static int launch_digest_of(Validate *v, uint8_t ret[static SHA256_SIZE]) {
        _cleanup_hash_ Hash *hash = NULL;
        int r;

        if (hash_clone(v->firmware_state, &hash) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        r = add_kernel_table(v, hash);
        if (r >= 0 && validate_is_es(v))
                r = add_cpu_state(v, hash);
        if (r < 0)
                return r;
        if (hash_final(hash, ret) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        validate_debug_hex(v, "Measured-data(sha256)", ret, SHA256_SIZE);
        return 0;
}

static int decode_measurement(Validate *v, SevMeasurement *m, size_t *ret_reported) {
        uint8_t blob[SEV_MEASURE_SIZE + SEV_NONCE_SIZE] = {};
        size_t size = 0;
        int r;

        r = decode_base64(v, v->args.measurement, blob, sizeof(blob), &size);
        if (r < 0)
                return r;
        size = MIN(size, sizeof(blob));
        *ret_reported = MIN(size, (size_t) SEV_MEASURE_SIZE);
        m->nonce_size = size - *ret_reported;
        memcpy(v->reported, blob, SEV_MEASURE_SIZE);
        memcpy(m->nonce, blob + SEV_MEASURE_SIZE, m->nonce_size);
        return 0;
}

int validate_measure(Validate *v) {
        uint8_t message[SEV_MEASURE_MESSAGE_SIZE], computed[SEV_MEASURE_SIZE];
        SevMeasurement m = {};
        size_t reported;
        int r;

        r = decode_measurement(v, &m, &reported);
        if (r >= 0)
                r = launch_digest_of(v, m.digest);
        if (r >= 0)
                r = pack_numbers(v, &m);
        if (r < 0)
                return r;
        v->expected = m;
        validate_debug_hex(v, "Measured-msg(hex)", message, sev_measurement_message(&m, message));
        if (sev_measurement_compute(validate_keys(v)->tik, &m, computed) < 0)
                return validate_fail(v, VALIDATE_ERROR, NULL);
        validate_debug_hex(v, "Measurement reported(hex)", v->reported, reported);
        validate_debug_hex(v, "Measurement computed(hex)", computed, sizeof(computed));
        if (reported != SEV_MEASURE_SIZE || !constant_time_equal(computed, v->reported, SEV_MEASURE_SIZE))
                return validate_fail(
                                v, VALIDATE_FAILED, "Measurement does not match, VM is not trustworthy");
        return 0;
}
