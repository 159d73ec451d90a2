/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* QEMU's qtest protocol (tests/qtest, system/qtest.c): a line, and "OK ..." for an answer.
 *
 * Theory of operation. QEMU builds its ACPI tables when the firmware selects them, from what the firmware has programmed until then. Of edk2
 * (OvmfPkg, MdeModulePkg's PciBusDxe, PciHotPlugInitDxe) only this counts: where configuration space is, the ports of power management, and the
 * lowest and highest address of 64-bit BARs and prefetchable windows on the first bus. Windows of ports that can be plugged come first, then
 * BARs, the largest first. Written to the same registers, QEMU gives the tables that the firmware would have measured. */

#include "run-qtest.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bytes.h"
#include "encode.h"
#include "error.h"
#include "fd.h"
#include "run-output.h"
#include "strutil.h"

#define ANSWER_SIZE_MAX ((size_t) 8 << 20) /* hexadecimal digits: tables have 128 KiB */
#define FILES_MAX       4096u
#define FILE_SIZE_MAX_  ((size_t) 2 << 20)

/* Free memory of a guest that does not run, for fw_cfg's DMA (QEMU docs/specs/fw_cfg.rst). */
#define DMA_RECORD       UINT64_C(0x2000000)
#define DMA_DATA         UINT64_C(0x2001000)
#define FW_CFG_DIRECTORY 0x19u
#define FW_CFG_ENTRY     64u

/* What edk2 has for q35: PcdPciExpressBaseAddress with its enable bit, ICH9's PMBASE with its, ACPI_CNTL.ACPI_EN. */
#define ECAM_BASE   0xe0000001u
#define PM_BASE     0x600u
#define PM_ENABLE   0x80u
#define WINDOW_BASE UINT64_C(0x380000000000) /* 46 bits of addresses, the last eighth */
#define PORT_WINDOW (UINT64_C(1) << 35)      /* of each port that can be plugged, with 46 bits */
#define BARS_MAX    1536u

void qtest_done(Qtest *q) {
        free(q->line);
        *q = (Qtest) {};
}

/* --- the protocol ------------------------------------------------------------------------------------------------------ */

static int wait_readable(const Qtest *q) {
        uint64_t now = monotonic_usec();
        struct pollfd p = { .fd = q->out, .events = POLLIN };

        if (now >= q->deadline)
                return -ETIMEDOUT;
        return poll(&p, 1, (int) ((q->deadline - now) / 1000 + 1)) == 0 ? -ETIMEDOUT : 0;
}

static int read_line(Qtest *q) {
        memmove(q->line, q->line + q->used, q->n - q->used);
        q->n -= q->used;
        q->used = 0;
        for (;;) {
                const char *end = q->n > 0 ? memchr(q->line, '\n', q->n) : NULL;
                ssize_t k;
                int r;

                if (end) {
                        q->used = (size_t) (end - q->line) + 1;
                        q->line[q->used - 1] = 0;
                        return 0;
                }
                if (q->n + 1 >= q->size) {
                        size_t size = q->size > 0 ? 2 * q->size : 4096;
                        char *line = size > ANSWER_SIZE_MAX ? NULL : realloc(q->line, size);

                        if (!line)
                                return size > ANSWER_SIZE_MAX ? -EMSGSIZE : -ENOMEM;
                        q->line = line;
                        q->size = size;
                }
                r = wait_readable(q);
                if (r < 0)
                        return r;
                k = read(q->out, q->line + q->n, q->size - q->n - 1);
                if (k == 0)
                        return -EPIPE;
                if (k < 0 && errno != EINTR)
                        return -errno;
                q->n += k > 0 ? (size_t) k : 0;
        }
}

/* *ret: what follows "OK", borrowed until the next question. */
static int ask(Qtest *q, const char **ret, char **reterr, const char *format, ...) _printf_(4, 5);

static int ask(Qtest *q, const char **ret, char **reterr, const char *format, ...) {
        _cleanup_free_ char *text = NULL;
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vasprintf(&text, format, ap);
        va_end(ap);
        if (n < 0) {
                text = NULL;
                return -ENOMEM;
        }
        r = fd_write_all(q->in, text, (size_t) n);
        if (r >= 0)
                r = read_line(q);
        if (r == -ENOMEM)
                return r;
        if (r < 0)
                return error_set(reterr, r, "QEMU does not answer over -qtest: %s", strerror(-r));
        if (!startswith(q->line, "OK"))
                return error_set(reterr, -EBADMSG, "QEMU refused '%.*s' over -qtest", n - 1, text);
        if (ret)
                *ret = q->line + strlen("OK") + (q->line[2] == ' ');
        return 0;
}

/* --- PCI --------------------------------------------------------------------------------------------------------------- */

static int config_write(Qtest *q, unsigned devfn, unsigned at, uint32_t value, char **reterr) {
        int r = ask(q, NULL, reterr, "outl 0xcf8 0x%x\n", 0x80000000u | devfn << 8 | at);

        return r < 0 ? r : ask(q, NULL, reterr, "outl 0xcfc 0x%" PRIx32 "\n", value);
}

static int config_read(Qtest *q, unsigned devfn, unsigned at, uint32_t *ret, char **reterr) {
        const char *answer;
        int r = ask(q, NULL, reterr, "outl 0xcf8 0x%x\n", 0x80000000u | devfn << 8 | at);

        if (r >= 0)
                r = ask(q, &answer, reterr, "inl 0xcfc\n");
        if (r >= 0)
                *ret = (uint32_t) strtoul(answer, NULL, 16);
        return r;
}

/* I/O, memory and bus mastering on; the status half of the register is cleared by ones only. */
static int enable(Qtest *q, unsigned devfn, char **reterr) {
        return config_write(q, devfn, 0x04, 7, reterr);
}

typedef struct Bar {
        uint64_t size;
        unsigned devfn, at;
} Bar;

typedef struct Bars {
        Bar items[BARS_MAX];
        size_t n_items;
        uint64_t next; /* where the next one goes */
} Bars;

static int larger_first(const void *a, const void *b) {
        const Bar *x = a, *y = b;

        return x->size < y->size ? 1 : x->size > y->size ? -1 : 0;
}

/* The size of a BAR is how many low bits stay clear when ones are written. */
static int size_of_bar(Qtest *q, unsigned devfn, unsigned at, uint32_t *ret_low, uint64_t *ret_size,
                char **reterr) {
        uint32_t before, low, high;
        int r = config_read(q, devfn, at, &before, reterr);

        if (r >= 0)
                r = config_write(q, devfn, at, UINT32_MAX, reterr);
        if (r >= 0)
                r = config_read(q, devfn, at, &low, reterr);
        if (r >= 0)
                r = config_write(q, devfn, at, before, reterr);
        if (r < 0)
                return r;
        *ret_low = low;
        *ret_size = 0;
        if (low == 0 || (low & 7) != 4) /* not 64-bit memory */
                return 0;
        r = config_write(q, devfn, at + 4, UINT32_MAX, reterr);
        if (r >= 0)
                r = config_read(q, devfn, at + 4, &high, reterr);
        if (r >= 0)
                *ret_size = ~((uint64_t) high << 32 | (low & ~UINT32_C(0xf))) + 1;
        return r;
}

static int find_bars(Qtest *q, unsigned devfn, Bars *bars, char **reterr) {
        for (unsigned at = 0x10; at < 0x28; at += 4) {
                uint64_t size;
                uint32_t low;
                int r = size_of_bar(q, devfn, at, &low, &size, reterr);

                if (r < 0)
                        return r;
                if (size == 0)
                        continue;
                if (bars->n_items < BARS_MAX)
                        bars->items[bars->n_items++] = (Bar) { size, devfn, at };
                at += 4;
        }
        return 0;
}

static int place_window(Qtest *q, unsigned devfn, Bars *bars, char **reterr) {
        uint64_t first = bars->next, last = first + PORT_WINDOW - 1;
        uint32_t low = ((uint32_t) (first >> 16) & 0xfff0) | 1,
                 high = ((uint32_t) (last >> 16) & 0xfff0) | 1;
        int r = config_write(q, devfn, 0x28, (uint32_t) (first >> 32), reterr);

        if (r >= 0)
                r = config_write(q, devfn, 0x2c, (uint32_t) (last >> 32), reterr);
        if (r >= 0)
                r = config_write(q, devfn, 0x24, high << 16 | low, reterr);
        bars->next = last + 1;
        return r < 0 ? r : enable(q, devfn, reterr);
}

static int place_bar(Qtest *q, const Bar *bar, Bars *bars, char **reterr) {
        uint64_t address = (bars->next + bar->size - 1) & ~(bar->size - 1);
        int r = config_write(q, bar->devfn, bar->at, (uint32_t) address, reterr);

        if (r >= 0)
                r = config_write(q, bar->devfn, bar->at + 4, (uint32_t) (address >> 32), reterr);
        bars->next = address + bar->size;
        return r < 0 ? r : enable(q, bar->devfn, reterr);
}

static int look_at(Qtest *q, unsigned devfn, Bars *bars, char **reterr) {
        uint32_t id, header;
        int r = config_read(q, devfn, 0x00, &id, reterr);

        if (r < 0 || id == 0 || id == UINT32_MAX)
                return r;
        r = config_read(q, devfn, 0x0c, &header, reterr);
        if (r < 0)
                return r;
        return (header >> 16 & 0x7f) == 1 ? place_window(q, devfn, bars, reterr)
                                          : find_bars(q, devfn, bars, reterr);
}

int qtest_place_devices(Qtest *q, char **reterr) {
        const unsigned lpc = 31u << 3;
        Bars *bars = calloc(1, sizeof(Bars));
        int r = bars ? config_write(q, 0, 0x64, 0, reterr) : -ENOMEM;

        if (r >= 0)
                r = config_write(q, 0, 0x60, ECAM_BASE, reterr);
        if (r >= 0)
                r = config_write(q, lpc, 0x40, PM_BASE, reterr);
        if (r >= 0)
                r = config_write(q, lpc, 0x44, PM_ENABLE, reterr);
        if (r >= 0)
                bars->next = WINDOW_BASE;
        for (unsigned devfn = 0; r >= 0 && devfn < 256; devfn++)
                r = look_at(q, devfn, bars, reterr);
        if (r >= 0) {
                qsort(bars->items, bars->n_items, sizeof(Bar), larger_first);
                for (size_t i = 0; r >= 0 && i < bars->n_items; i++)
                        r = place_bar(q, bars->items + i, bars, reterr);
        }
        free(bars);
        return r;
}

/* --- fw_cfg ------------------------------------------------------------------------------------------------------------ */

static int dma_read(Qtest *q, uint16_t selector, size_t size, uint8_t **ret, char **reterr) {
        const char *answer;
        uint8_t *bytes;
        size_t n;
        int r = ask(q, NULL, reterr, "write 0x%" PRIx64 " 16 0x%04x000a%08zx%016" PRIx64 "\n", DMA_RECORD,
                        selector, size, DMA_DATA);

        if (r >= 0)
                r = ask(q, NULL, reterr, "outl 0x514 0x0\n");
        if (r >= 0)
                r = ask(q, NULL, reterr, "outl 0x518 0x%" PRIx32 "\n",
                                __builtin_bswap32((uint32_t) DMA_RECORD));
        if (r >= 0)
                r = ask(q, &answer, reterr, "read 0x%" PRIx64 " 0x%zx\n", DMA_DATA, size);
        if (r < 0)
                return r;
        answer += startswith(answer, "0x") ? 2 : 0;
        r = hex_decode(answer, strlen(answer), &bytes, &n);
        if (r >= 0 && n != size) {
                free(bytes);
                r = -EBADMSG;
        }
        if (r < 0)
                return error_set(reterr, r,
                                "QEMU's answer over -qtest is not %zu bytes in hexadecimal digits", size);
        *ret = bytes;
        return 0;
}

int qtest_read_file(Qtest *q, const char *name, uint8_t **ret, size_t *ret_size, char **reterr) {
        _cleanup_free_ uint8_t *head = NULL, *entries = NULL;
        uint32_t count;
        int r = dma_read(q, FW_CFG_DIRECTORY, 4, &head, reterr);

        if (r < 0)
                return r;
        count = be32_read(head);
        if (count > FILES_MAX)
                return error_set(reterr, -EBADMSG, "QEMU's fw_cfg has %" PRIu32 " files", count);
        r = dma_read(q, FW_CFG_DIRECTORY, 4 + (size_t) count * FW_CFG_ENTRY, &entries, reterr);
        if (r < 0)
                return r;
        for (uint32_t i = 0; i < count; i++) {
                const uint8_t *e = entries + 4 + (size_t) i * FW_CFG_ENTRY;
                size_t size = be32_read(e);

                if (strncmp((const char *) e + 8, name, FW_CFG_ENTRY - 8) != 0)
                        continue;
                if (size == 0 || size > FILE_SIZE_MAX_)
                        return error_set(reterr, -EBADMSG, "QEMU's fw_cfg file '%s' has %zu bytes", name,
                                        size);
                *ret_size = size;
                return dma_read(q, (uint16_t) (e[4] << 8 | e[5]), size, ret, reterr);
        }
        return -ENOENT;
}
