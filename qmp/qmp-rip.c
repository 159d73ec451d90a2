/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "qmp-rip.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "qmp-commands.h"
#include "strutil.h"

#define X86_PAUSE_0   0xf3u
#define X86_PAUSE_1   0x90u
#define X86_JMP_REL8  0xebu
#define PAUSE_JMP     4u /* length of both */
#define CODE_LINE     8u /* bytes in a line of "x /NNxb" */
#define HEX_DIGITS_64 16u
#define HEX_DIGITS_32 8u

/* Exactly n lower-case hexadecimal digits at *p, which moves after them. */
static bool take_hex(const char **p, unsigned n, uint64_t *ret) {
        uint64_t v = 0;

        for (unsigned i = 0; i < n; i++) {
                char ch = (*p)[i];

                if (ch >= '0' && ch <= '9')
                        v = v << 4 | (uint64_t) (ch - '0');
                else if (ch >= 'a' && ch <= 'f')
                        v = v << 4 | (uint64_t) (ch - 'a' + 10);
                else
                        return false;
        }
        *p += n;
        *ret = v;
        return true;
}

static bool take_word(const char **p, const char *word) {
        const char *rest = startswith(*p, word);

        if (!rest)
                return false;
        *p = rest;
        return true;
}

/* The rest of the only line that begins with this word; NULL if there is none, or more than one. */
static const char *find_line(const char *text, const char *word) {
        const char *found = NULL;

        for (const char *line = text; line; line = strchr(line, '\n')) {
                const char *rest;

                if (*line == '\n')
                        line++;
                rest = startswith(line, word);
                if (rest && found)
                        return NULL;
                if (rest)
                        found = rest;
        }
        return found;
}

int qmp_rip_parse(const char *text, QmpRip *ret) {
        const char *rip, *eip, *cs;
        unsigned digits = HEX_DIGITS_64;
        uint64_t selector, cs_base;
        QmpRip v = { .mode = QMP_CPU_64 };

        if (startswith(text, "No CPU available"))
                return -ENODATA;

        rip = find_line(text, "RIP=");
        eip = find_line(text, "EIP=");
        cs = find_line(text, "CS =");
        if (!cs || !!rip == !!eip)
                return -EBADMSG;
        v.halted = strstr(text, " HLT=1");
        if (eip) {
                rip = eip;
                digits = HEX_DIGITS_32;
                v.mode = QMP_CPU_16_OR_32;
        }

        if (!take_hex(&rip, digits, &v.ip) || *rip != ' ' || !take_hex(&cs, 4, &selector) ||
                        !take_word(&cs, " ") || !take_hex(&cs, digits, &cs_base) || *cs != ' ')
                return -EBADMSG;

        v.linear = v.ip + cs_base; /* wraps as the processor does */
        if (v.mode == QMP_CPU_16_OR_32)
                v.linear &= UINT32_MAX;
        *ret = v;
        return 0;
}

/* One line "ADDRESS: 0x90 0x90 ... CR LF" of CODE_LINE bytes. */
static bool take_code_line(const char **p, uint64_t address, uint8_t *buf) {
        uint64_t v;

        if (!take_hex(p, HEX_DIGITS_64, &v) || v != address || !take_word(p, ":"))
                return false;
        for (size_t i = 0; i < CODE_LINE; i++) {
                if (!take_word(p, " 0x") || !take_hex(p, 2, &v))
                        return false;
                buf[i] = (uint8_t) v;
        }
        return take_word(p, "\r\n");
}

/* "ADDRESS: Cannot access memory". */
static bool is_end_of_memory(const char *p) {
        const char *rest = strchr(p, ':');

        return rest && strspn(p, "0123456789abcdef") == (size_t) (rest - p) &&
                        streq(rest, ": Cannot access memory\r\n");
}

int qmp_code_parse(const char *text, uint64_t base, uint8_t *buf, size_t n, size_t *ret_n) {
        uint8_t bytes[QMP_CODE_SIZE];
        const char *p = text;
        size_t have = 0;

        assert(n <= sizeof(bytes) && n % CODE_LINE == 0);

        while (have < n && !is_end_of_memory(p)) {
                if (!take_code_line(&p, base + have, bytes + have))
                        return -EBADMSG;
                have += CODE_LINE;
        }
        if (have == n && *p)
                return -EBADMSG;
        memcpy(buf, bytes, have);
        *ret_n = have;
        return 0;
}

bool deadloop_bytes(uint64_t linear, uint64_t base, const uint8_t *bytes, size_t n) {
        for (size_t i = 0; n >= PAUSE_JMP && i <= n - PAUSE_JMP; i++) {
                const uint8_t *b = bytes + i;
                uint64_t pause = base + i, back, into;

                if (b[0] != X86_PAUSE_0 || b[1] != X86_PAUSE_1 || b[2] != X86_JMP_REL8)
                        continue;

                /* rel8 counts from after the jump; -4 is the pause itself, so a larger one is not a loop. */
                back = 256 - (uint64_t) b[3];
                if (b[3] < 0x80 || back < PAUSE_JMP)
                        continue;

                /* Distances from the beginning of the loop; a wrap gives a huge number, which is outside. */
                into = linear - (pause + PAUSE_JMP - back);
                if (into <= back - 2 && (linear >= pause || pause - linear <= QMP_DEADLOOP_NEAR))
                        return true;
        }
        return false;
}

bool qmp_in_delay_loop(const QmpCode *code) {
        static const struct {
                uint8_t bytes[3];
                size_t n;
        } instructions[] = {
                { { 0xf3, 0x90 }, 2 },       /* pause */
                { { 0x0f, 0x31 }, 2 },       /* rdtsc */
                { { 0x0f, 0x01, 0xf9 }, 3 }, /* rdtscp */
                { { 0x0f, 0x01, 0xfb }, 3 }, /* mwaitx */
        };

        if (code->rip.halted || code->rip.mode != QMP_CPU_64 || code->rip.ip >> 63 == 0)
                return false;
        FOREACH_ARRAY(i, instructions, ELEMENTSOF(instructions))
                if (memmem(code->bytes, code->size, i->bytes, i->n))
                        return true;
        return false;
}

void qmp_deadloop_add_hit(QmpDeadloop *d, bool hit) {
        d->hits[d->n++ % QMP_DEADLOOP_WINDOW] = hit;
}

void qmp_deadloop_add(QmpDeadloop *d, const QmpCode *code) {
        qmp_deadloop_add_hit(d, deadloop_bytes(code->rip.linear, code->base, code->bytes, code->size));
}

bool qmp_deadloop_reached(const QmpDeadloop *d) {
        unsigned hits = 0;

        for (size_t i = 0; i < QMP_DEADLOOP_WINDOW; i++)
                hits += d->hits[i];
        return d->n >= QMP_DEADLOOP_WINDOW && hits >= QMP_DEADLOOP_HITS;
}

typedef struct RipRead {
        unsigned cpu_index;
        QmpCodeReply reply; /* may be NULL */
        void *userdata;
        QmpCode code;
} RipRead;

static int rip_finish(QmpClient *c, RipRead *read, int error) {
        _cleanup_free_ RipRead *owned = read;

        if (!owned->reply)
                return 0;
        return owned->reply(c, error, error < 0 ? NULL : &owned->code, owned->userdata);
}

static int on_code(QmpClient *c, int error, const Json *value, _unused_ const char *desc, void *userdata) {
        RipRead *read = userdata;
        const char *text = js_string_value(value);

        if (error >= 0)
                error = text ? qmp_code_parse(text, read->code.base, read->code.bytes, QMP_CODE_SIZE,
                                               &read->code.size)
                             : -EBADMSG;
        return rip_finish(c, read, error);
}

static int on_registers(
                QmpClient *c, int error, const Json *value, _unused_ const char *desc, void *userdata) {
        RipRead *read = userdata;
        const char *text = js_string_value(value);
        char line[sizeof("x /64xb 0x") + HEX_DIGITS_64];

        if (error >= 0)
                error = text ? qmp_rip_parse(text, &read->code.rip) : -EBADMSG;
        if (error < 0)
                return rip_finish(c, read, error);

        read->code.base = read->code.rip.linear - MIN(read->code.rip.linear, (uint64_t) QMP_CODE_BEFORE);
        (void) snprintf(line, sizeof(line), "x /%uxb 0x%" PRIx64, QMP_CODE_SIZE, read->code.base);
        error = qmp_human_monitor_command(c, line, (int) read->cpu_index, on_code, read);
        return error < 0 ? rip_finish(c, read, error) : 0;
}

int qmp_read_rip(QmpClient *c, unsigned cpu_index, QmpCodeReply reply, void *userdata) {
        RipRead *read;
        int r;

        if (cpu_index > INT32_MAX)
                return -EINVAL;
        read = calloc(1, sizeof(*read));
        if (!read)
                return -ENOMEM;
        *read = (RipRead) { .cpu_index = cpu_index, .reply = reply, .userdata = userdata };
        r = qmp_human_monitor_command(c, "info registers", (int) cpu_index, on_registers, read);
        if (r < 0)
                free(read);
        return r;
}
