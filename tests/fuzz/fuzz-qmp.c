/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Everything a QMP peer can send: to the client through a socket, and the human monitor's texts to their parsers. What must
 * hold for any input: each caller is answered exactly once, and the client ends when the peer does. */

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "fd.h"
#include "qmp-client.h"
#include "qmp-commands.h"
#include "qmp-rip.h"
#include "qmp-schema.h"
#include "qmp-sev.h"

#define CALLS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_reply(_unused_ QmpClient *c, int error, const Json *value, const char *desc, void *userdata) {
        unsigned *answers = userdata;
        QmpSevCapabilities *caps = malloc(sizeof(*caps));
        QmpSevMeasurement m;
        QmpStatus status;
        QmpSev sev;

        assert((error == 0) == !!value);
        assert(error == 0 || desc);
        (*answers)++;
        if (!caps)
                abort();
        (void) !qmp_status_parse(value, &status, NULL);
        (void) !qmp_sev_parse(value, &sev, NULL);
        (void) !qmp_sev_measurement_parse(value, &m, NULL);
        (void) !qmp_sev_capabilities_parse(value, caps, NULL);
        (void) qmp_schema_has_argument(value, "blockdev-add", "driver");
        free(caps);
        return 0;
}

static int on_event(_unused_ QmpClient *c, const char *name, const Json *data, _unused_ void *userdata) {
        assert(name);
        (void) qmp_shutdown_parse(data);
        return 0;
}

static int on_disconnect(QmpClient *c, _unused_ int error, void *userdata) {
        assert(qmp_client_failure(c));
        (*(unsigned *) userdata)++;
        return 0;
}

static int on_code(_unused_ QmpClient *c, int error, const QmpCode *code, void *userdata) {
        assert((error == 0) == !!code);
        assert(!code || code->size <= QMP_CODE_SIZE);
        (*(unsigned *) userdata)++;
        return 0;
}

static void check(int r) {
        if (r < 0)
                abort();
}

static void fuzz_client(const uint8_t *data, size_t size) {
        unsigned answers = 0, ends = 0, codes = 0;
        _cleanup_(loop_unrefp) Loop *loop = NULL;
        _cleanup_qmp_client_ QmpClient *c = NULL;
        _cleanup_close_ int peer = -EBADF;
        int fds[2];

        check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds));
        peer = fds[1];
        check(loop_new(&loop));
        check(qmp_client_new(loop, fds[0], &c));
        qmp_client_set_handlers(c, on_event, on_disconnect, &ends);
        for (unsigned i = 0; i < CALLS; i++)
                check(qmp_call(c, "x", NULL, on_reply, &answers));
        check(qmp_read_rip(c, 0, on_code, &codes));

        for (size_t done = 0; done < size && !qmp_client_failure(c);) {
                ssize_t n = send(peer, data + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);

                if (n > 0)
                        done += (size_t) n;
                while (loop_once(loop, 0) > 0)
                        ;
        }
        peer = fd_close(peer);
        while (loop_once(loop, 0) > 0)
                ;
        if (answers != CALLS || ends != 1 || codes != 1 || !qmp_client_failure(c))
                abort();
}

static void fuzz_monitor_text(const uint8_t *data, size_t size) {
        _cleanup_free_ char *text = malloc(size + 1);
        uint8_t code[QMP_CODE_SIZE];
        size_t n = 0;
        QmpRip rip;

        if (!text)
                abort();
        if (size > 0)
                memcpy(text, data, size);
        text[size] = 0;
        (void) !qmp_rip_parse(text, &rip);
        if (qmp_code_parse(text, 0x1ec7a130, code, sizeof(code), &n) >= 0)
                (void) deadloop_bytes(0x1ec7a148, 0x1ec7a130, code, n);
        (void) deadloop_bytes(0x1000, 0x1000, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
        fuzz_client(data, size);
        fuzz_monitor_text(data, size);
        return 0;
}
