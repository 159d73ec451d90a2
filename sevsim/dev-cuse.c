/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* /dev/sev-guest. A CUSE server does not see the memory of who calls ioctl(2): it answers FUSE_IOCTL_RETRY with the areas that it wants
 * copied in and out, and is called again with them. Here in up to four rounds: the request's head; what it points to; room for the answer;
 * the work. The round is told from what came along. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <linux/sev-guest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dev.h"
#include "sim-bytes.h"

enum {
        HEAD_SIZE = 32, /* struct snp_guest_request_ioctl */
        HEAD_REQUEST = 8,
        HEAD_RESPONSE = 16,
        HEAD_EXIT = 24,
        EXTENDED_SIZE = 112, /* struct snp_ext_report_req */
        EXTENDED_ADDRESS = 96,
        EXTENDED_LENGTH = 104,
        KEY_REQUEST_V1 = 32,
        KEY_RESPONSE_SIZE = 64,
        NO_FIRMWARE_CALL = 0xff,
        AREAS_MAX = 4,
};

/* As in the kernel's header; the program under test has its own, guest/guest-abi.h. */
static_assert(sizeof(struct snp_guest_request_ioctl) == HEAD_SIZE, "ABI");
static_assert(offsetof(struct snp_guest_request_ioctl, req_data) == HEAD_REQUEST, "ABI");
static_assert(offsetof(struct snp_guest_request_ioctl, resp_data) == HEAD_RESPONSE, "ABI");
static_assert(sizeof(struct snp_report_req) == DEV_REPORT_REQUEST_SIZE, "ABI");
static_assert(sizeof(struct snp_report_resp) == DEV_RESPONSE_SIZE, "ABI");
static_assert(sizeof(struct snp_ext_report_req) == EXTENDED_SIZE, "ABI");
static_assert(offsetof(struct snp_ext_report_req, certs_address) == EXTENDED_ADDRESS, "ABI");
static_assert(offsetof(struct snp_ext_report_req, certs_len) == EXTENDED_LENGTH, "ABI");
static_assert(sizeof(struct snp_derived_key_resp) == KEY_RESPONSE_SIZE, "ABI");

/* One ioctl(2) in the round that it is in. */
typedef struct Call {
        Dev *d;
        uint64_t unique, arg;
        uint32_t in_size, out_size;
        uint8_t head[HEAD_SIZE];
        const uint8_t *request;
        size_t request_size;
        uint32_t certs_size;
} Call;

static void finish(const Call *c, int result, const void *more, size_t more_size) {
        uint8_t out[sizeof(struct fuse_ioctl_out) + HEAD_SIZE + EXTENDED_SIZE + DEV_RESPONSE_SIZE +
                        DEV_CERTS_MAX];
        struct fuse_ioctl_out o = { .result = result };
        size_t n = sizeof(o);

        memcpy(out, &o, n);
        if (c->out_size > 0) {
                memcpy(out + n, c->head, HEAD_SIZE);
                n += HEAD_SIZE;
                if (more_size > 0)
                        memcpy(out + n, more, more_size);
                n += more_size;
        }
        dev_reply(c->d, c->unique, 0, out, n);
}

static void ask_for(const Call *c, const struct fuse_ioctl_iovec *in, uint32_t n_in,
                const struct fuse_ioctl_iovec *out, uint32_t n_out) {
        struct {
                struct fuse_ioctl_out o;
                struct fuse_ioctl_iovec v[2 * AREAS_MAX];
        } reply = { .o = { .flags = FUSE_IOCTL_RETRY, .in_iovs = n_in, .out_iovs = n_out } };

        memcpy(reply.v, in, n_in * sizeof(*in));
        memcpy(reply.v + n_in, out, n_out * sizeof(*out));
        dev_reply(c->d, c->unique, 0, &reply, sizeof(reply.o) + (n_in + n_out) * sizeof(*in));
}

static size_t request_size(uint32_t number, const uint8_t *head) {
        switch (number) {
        case SNP_GET_REPORT:
                return DEV_REPORT_REQUEST_SIZE;
        case SNP_GET_EXT_REPORT:
                return EXTENDED_SIZE;
        case SNP_GET_DERIVED_KEY:
                return head[0] >= 2 ? DEV_KEY_REQUEST_SIZE : KEY_REQUEST_V1;
        default:
                return 0;
        }
}

/* What get_report() and its like refuse before they send anything. */
static int check(const Call *c, uint32_t number) {
        if (c->head[0] == 0)
                return -EINVAL;
        if (c->request_size == 0 || (number == SNP_GET_EXT_REPORT && c->d->faults->old_kernel))
                return -ENOTTY;
        if (get_le64(c->head + HEAD_REQUEST) == 0 || get_le64(c->head + HEAD_RESPONSE) == 0)
                return -EINVAL;
        return 0;
}

/* The third round: the request is known, and with it where certificates go. */
static int check_certs(Call *c, uint32_t number) {
        c->certs_size = 0;
        if (number != SNP_GET_EXT_REPORT || get_le64(c->request + EXTENDED_ADDRESS) == 0)
                return 0;
        c->certs_size = get_le32(c->request + EXTENDED_LENGTH);
        return c->certs_size > DEV_CERTS_MAX || c->certs_size % DEV_PAGE != 0 ? -EINVAL : 0;
}

static void work_report(Call *c, bool extended) {
        uint8_t more[EXTENDED_SIZE + DEV_RESPONSE_SIZE + DEV_CERTS_MAX] = {}, *response = more;
        const DevCerts *certs = dev_psp_certs(c->d->psp);
        uint64_t exit = 0;
        uint32_t pages = 0;
        int r;

        if (extended) {
                memcpy(more, c->request, EXTENDED_SIZE);
                response += EXTENDED_SIZE;
        }
        r = dev_message_report(
                        c->d, c->request, extended, c->certs_size / DEV_PAGE, response, &exit, &pages);
        put_le64(c->head + HEAD_EXIT, exit);
        if (pages > 0) {
                put_le32(more + EXTENDED_LENGTH, pages * DEV_PAGE);
                finish(c, r, more, EXTENDED_SIZE);
        } else if (r < 0)
                finish(c, r, NULL, 0);
        else {
                if (c->certs_size > 0 && !c->d->faults->no_certs)
                        memcpy(response + DEV_RESPONSE_SIZE, certs->table,
                                        c->certs_size < certs->size ? c->certs_size : certs->size);
                finish(c, 0, more, (size_t) (response - more) + DEV_RESPONSE_SIZE + c->certs_size);
        }
}

static void work_key(Call *c) {
        uint8_t request[DEV_KEY_REQUEST_SIZE] = {}, response[KEY_RESPONSE_SIZE] = {};
        uint32_t status;

        if (c->d->faults->no_channel)
                return finish(c, -ENOTTY, NULL, 0);
        put_le64(c->head + HEAD_EXIT, c->d->faults->busy ? UINT64_C(2) << 32 : c->d->faults->fw_error);
        if (c->d->faults->busy || c->d->faults->fw_error)
                return finish(c, c->d->faults->busy ? -ETIMEDOUT : -EIO, NULL, 0);
        memcpy(request, c->request, c->request_size);
        status = c->d->faults->status
                        ?: dev_psp_key(c->d->psp, c->head[0], request, response + DEV_RESPONSE_HEADER);
        put_le32(response, status);
        finish(c, 0, response, sizeof(response));
}

static void handle_ioctl(Dev *d, const struct fuse_in_header *h, const struct fuse_ioctl_in *in) {
        struct fuse_ioctl_iovec areas[AREAS_MAX] = { { in->arg, HEAD_SIZE } };
        Call c = {
                .d = d, .unique = h->unique, .arg = in->arg, .in_size = in->in_size, .out_size = in->out_size
        };
        const uint8_t *data = (const uint8_t *) (in + 1);
        uint32_t n = 1;
        int r;

        if (in->in_size < HEAD_SIZE)
                return ask_for(&c, areas, 1, areas, 1);
        memcpy(c.head, data, HEAD_SIZE);
        put_le64(c.head + HEAD_EXIT, NO_FIRMWARE_CALL);
        c.request = data + HEAD_SIZE;
        c.request_size = request_size(in->cmd, c.head);
        r = check(&c, in->cmd);
        if (r < 0)
                return finish(&c, r, NULL, 0);

        areas[1] = (struct fuse_ioctl_iovec) { get_le64(c.head + HEAD_REQUEST), c.request_size };
        if (in->in_size < HEAD_SIZE + c.request_size)
                return ask_for(&c, areas, 2, areas, 1);
        r = check_certs(&c, in->cmd);
        if (r < 0)
                return finish(&c, r, NULL, 0);
        if (in->out_size > HEAD_SIZE) {
                if (in->cmd == SNP_GET_DERIVED_KEY)
                        return work_key(&c);
                return work_report(&c, in->cmd == SNP_GET_EXT_REPORT);
        }

        struct fuse_ioctl_iovec out[AREAS_MAX] = { areas[0] };
        if (in->cmd == SNP_GET_EXT_REPORT)
                out[n++] = areas[1];
        out[n++] = (struct fuse_ioctl_iovec) { get_le64(c.head + HEAD_RESPONSE),
                in->cmd == SNP_GET_DERIVED_KEY ? KEY_RESPONSE_SIZE : DEV_RESPONSE_SIZE };
        if (c.certs_size > 0)
                out[n++] = (struct fuse_ioctl_iovec) { get_le64(c.request + EXTENDED_ADDRESS),
                        c.certs_size };
        ask_for(&c, areas, 2, out, n);
}

int dev_cuse_start(const char *cuse, const char *name) {
        struct {
                struct cuse_init_out o;
                char info[64];
        } reply = { .o = { .major = FUSE_KERNEL_VERSION,
                                    .minor = FUSE_KERNEL_MINOR_VERSION,
                                    .flags = CUSE_UNRESTRICTED_IOCTL,
                                    .max_read = DEV_PAGE,
                                    .max_write = DEV_PAGE } };
        static const char key[] = "DEVNAME=";
        _Alignas(8) uint8_t buffer[FUSE_MIN_READ_BUFFER];
        struct fuse_in_header h;
        Dev d = { .fd = open(cuse, O_RDWR | O_CLOEXEC) };
        ssize_t n;

        if (d.fd < 0)
                return -errno;
        n = read(d.fd, buffer, sizeof(buffer));
        memcpy(&h, buffer, sizeof(h));
        if (n < (ssize_t) sizeof(h) || h.opcode != CUSE_INIT ||
                        strlen(name) + sizeof(key) > sizeof(reply.info)) {
                close(d.fd);
                return n < 0 ? -errno : -EPROTO;
        }
        memcpy(reply.info, key, sizeof(key));
        memcpy(reply.info + sizeof(key) - 1, name, strlen(name) + 1);
        /* The kernel makes the node before this returns. */
        dev_reply(&d, h.unique, 0, &reply, sizeof(reply.o) + strlen(reply.info) + 1);
        return d.fd;
}

void dev_cuse_request(Dev *d, const struct fuse_in_header *h, const void *body) {
        const struct fuse_open_out opened = { .open_flags = FOPEN_DIRECT_IO | FOPEN_NONSEEKABLE };

        switch (h->opcode) {
        case FUSE_OPEN:
                return dev_reply(d, h->unique, 0, &opened, sizeof(opened));
        case FUSE_IOCTL:
                return handle_ioctl(d, h, body);
        case FUSE_RELEASE:
        case FUSE_FLUSH:
                return dev_reply(d, h->unique, 0, NULL, 0);
        case FUSE_INTERRUPT:
        case FUSE_FORGET:
                return; /* no answer is wanted */
        case FUSE_READ:
        case FUSE_WRITE:
                return dev_reply(d, h->unique, -EINVAL, NULL, 0);
        default:
                return dev_reply(d, h->unique, -ENOSYS, NULL, 0);
        }
}
