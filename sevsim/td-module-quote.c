/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Theory of operation: the guest gives a TDREPORT in a buffer and gets a quote in its place. A service that has the quoting enclave makes it; QEMU
 * talks to that service over a unix socket, one connection for a quote. So does this, with the same messages (QEMU's target/i386/kvm/tdx-quote-generator.c
 * and Intel's qgs_msg_lib.h), but waits for the answer. */

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "sim-bytes.h"
#include "td-module.h"

enum {
        HEADER_SIZE = 24, /* of the guest's buffer: version, status, in_len, out_len */
        BUFFER_MAX = 128 * 1024,
        QGS_PREFIX = 4, /* the length of the message, big endian */
        QGS_HEADER = 16,
        QGS_REQUEST = QGS_HEADER + 8,
        SECONDS = 30,
};

#define OPERAND_INVALID   UINT64_C(0x8000000000000000)
#define ALIGN_ERROR       UINT64_C(0x8000000000000002)
#define QUOTE_ERROR       UINT64_C(0x8000000000000000)
#define QUOTE_UNAVAILABLE UINT64_C(0x8000000000000001)

static int transfer(int fd, uint8_t *data, size_t size, bool out) {
        for (size_t n = 0; n < size;) {
                ssize_t k = out ? send(fd, data + n, size - n, MSG_NOSIGNAL)
                                : recv(fd, data + n, size - n, 0);

                if (k == 0 || (k < 0 && errno != EINTR))
                        return k < 0 ? -errno : -EPIPE;
                n += k > 0 ? (size_t) k : 0;
        }
        return 0;
}

static int open_service(void) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        struct timeval limit = { .tv_sec = SECONDS };
        int fd;

        if (!td_module.quote_socket || strlen(td_module.quote_socket) >= sizeof(address.sun_path))
                return -ENOENT;
        memcpy(address.sun_path, td_module.quote_socket, strlen(td_module.quote_socket));
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0) {
                int r = -errno;

                close(fd);
                return r;
        }
        return fd;
}

/* QUOTE has the report at its beginning and takes the quote. Returns the quote's size. */
static int ask_service(int fd, uint8_t *quote, size_t room) {
        uint8_t message[QGS_PREFIX + QGS_REQUEST + TD_REPORT_SIZE] = {}, head[QGS_PREFIX + QGS_HEADER + 8];
        uint32_t size = QGS_REQUEST + TD_REPORT_SIZE, answer, length;
        int r;

        message[2] = (uint8_t) (size >> 8);
        message[3] = (uint8_t) size;
        put_le16(message + 4, 1);
        put_le16(message + 6, 1);
        put_le32(message + 12, size);
        put_le32(message + 20, TD_REPORT_SIZE);
        memcpy(message + QGS_PREFIX + QGS_REQUEST, quote, TD_REPORT_SIZE);
        r = transfer(fd, message, sizeof(message), true);
        if (r == 0)
                r = transfer(fd, head, sizeof(head), false);
        if (r < 0)
                return r;
        answer = (uint32_t) head[0] << 24 | (uint32_t) head[1] << 16 | (uint32_t) head[2] << 8 | head[3];
        length = get_le32(head + 24);
        if (get_le16(head + 4) != 1 || get_le16(head + 6) != 1 || get_le32(head + 8) != 1 ||
                        get_le32(head + 16) != 0 || get_le32(head + 20) != 0 || length > room ||
                        answer != QGS_REQUEST + length)
                return -EBADMSG;
        r = transfer(fd, quote, length, false);
        return r < 0 ? r : (int) length;
}

static uint64_t finish(uint64_t gpa, uint64_t status, uint32_t size, uint8_t *buffer) {
        put_le64(buffer + 8, status);
        put_le32(buffer + 20, size);
        td_record("\"event\": \"quote\", \"status\": %llu, \"size\": %u", (unsigned long long) status, size);
        return td_write(gpa, buffer, HEADER_SIZE + size) < 0 ? OPERAND_INVALID : 0;
}

uint64_t td_get_quote(uint64_t gpa, uint64_t size) {
        static uint8_t buffer[BUFFER_MAX];
        int fd, n;

        if (gpa % TD_PAGE_SIZE != 0 || size % TD_PAGE_SIZE != 0)
                return ALIGN_ERROR;
        if (size == 0 || size > BUFFER_MAX || td_read(gpa, buffer, size) < 0)
                return OPERAND_INVALID;
        if (get_le64(buffer) != 1 || get_le32(buffer + 16) != TD_REPORT_SIZE)
                return OPERAND_INVALID;
        fd = open_service();
        if (fd < 0)
                return finish(gpa, QUOTE_UNAVAILABLE, 0, buffer);
        n = ask_service(fd, buffer + HEADER_SIZE, size - HEADER_SIZE);
        close(fd);
        return n < 0 ? finish(gpa, QUOTE_ERROR, 0, buffer) : finish(gpa, 0, (uint32_t) n, buffer);
}
