/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Registers and reports: the layout of TDREPORT_STRUCT in Intel's "TDX Module ABI Specification" (348551). The MAC is zero: no processor would accept
 * this report. */

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "sim-bytes.h"
#include "td-module.h"
#include "td-plugin-api.h"

enum {
        REPORT_TYPE_TDX = 0x81,
        AT_TEE_INFO_HASH = 32,
        AT_TD_INFO_HASH = 80,
        AT_REPORT_DATA = 128,
        AT_TEE_INFO = 256,
        TEE_INFO_SIZE = 239,
        AT_TD_INFO = 512,
        TD_INFO_SIZE = 512,
        INFO_XFAM = 8,
        INFO_MRTD = 16,
        INFO_MRCONFIGID = 64,
        INFO_MROWNER = 112,
        INFO_MROWNERCONFIG = 160,
        INFO_RTMR0 = 208,
};

int td_parse_hex(const char *text, uint8_t *ret, size_t size) {
        static const char DIGITS[] = "0123456789abcdef";

        if (strlen(text) != 2 * size)
                return -EINVAL;
        for (size_t i = 0; i < size; i++) {
                const char *high = strchr(DIGITS, text[2 * i]), *low = strchr(DIGITS, text[2 * i + 1]);

                if (!high || !low)
                        return -EINVAL;
                ret[i] = (uint8_t) ((high - DIGITS) << 4 | (low - DIGITS));
        }
        return 0;
}

static int sha384(const uint8_t *data, size_t size, uint8_t ret[static TD_DIGEST_SIZE]) {
        char *text = g_compute_checksum_for_data(G_CHECKSUM_SHA384, data, size);
        int r = text ? td_parse_hex(text, ret, TD_DIGEST_SIZE) : -ENOMEM;

        g_free(text);
        return r;
}

int td_rtmr_extend(unsigned index, const uint8_t digest[static TD_DIGEST_SIZE]) {
        uint8_t both[2 * TD_DIGEST_SIZE];

        memcpy(both, td_module.rtmr[index], TD_DIGEST_SIZE);
        memcpy(both + TD_DIGEST_SIZE, digest, TD_DIGEST_SIZE);
        td_record_bytes("extend", index, digest, TD_DIGEST_SIZE);
        return sha384(both, sizeof(both), td_module.rtmr[index]);
}

int td_report(const uint8_t data[static TD_REPORT_DATA_SIZE], uint8_t ret_report[static TD_REPORT_SIZE]) {
        uint8_t *info = ret_report + AT_TD_INFO;
        const TdIdentity *td = &td_module.identity;
        int r;

        memset(ret_report, 0, TD_REPORT_SIZE);
        ret_report[0] = REPORT_TYPE_TDX;
        memcpy(ret_report + AT_REPORT_DATA, data, TD_REPORT_DATA_SIZE);
        put_le64(info, td->attributes);
        put_le64(info + INFO_XFAM, td->xfam);
        memcpy(info + INFO_MRTD, td->mrtd, TD_DIGEST_SIZE);
        memcpy(info + INFO_MRCONFIGID, td->mrconfigid, TD_DIGEST_SIZE);
        memcpy(info + INFO_MROWNER, td->mrowner, TD_DIGEST_SIZE);
        memcpy(info + INFO_MROWNERCONFIG, td->mrownerconfig, TD_DIGEST_SIZE);
        memcpy(info + INFO_RTMR0, td_module.rtmr, sizeof(td_module.rtmr));
        r = sha384(ret_report + AT_TEE_INFO, TEE_INFO_SIZE, ret_report + AT_TEE_INFO_HASH);
        if (r == 0)
                r = sha384(info, TD_INFO_SIZE, ret_report + AT_TD_INFO_HASH);
        td_record_bytes("report", 0, data, TD_REPORT_DATA_SIZE);
        return r;
}

void td_record(const char *format, ...) {
        va_list arguments;

        if (!td_module.record)
                return;
        fputs("{\"simulated\": true, ", td_module.record);
        va_start(arguments, format);
        vfprintf(td_module.record, format, arguments);
        va_end(arguments);
        fputs("}\n", td_module.record);
        fflush(td_module.record);
}

void td_record_bytes(const char *what, unsigned index, const uint8_t *data, size_t size) {
        char text[2 * TD_REPORT_DATA_SIZE + 1] = {};

        for (size_t i = 0; i < size && i < TD_REPORT_DATA_SIZE; i++)
                snprintf(text + 2 * i, 3, "%02x", data[i]);
        td_record("\"event\": \"%s\", \"index\": %u, \"data\": \"%s\"", what, index, text);
}
