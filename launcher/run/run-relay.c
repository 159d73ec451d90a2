/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* An SNP guest asks its owner's attestation service by itself; the relay program passes on what it says through one of our ports. It is
 * started before the launcher gives up what it does not need, and ends with QEMU, when its end of the port closes. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "error.h"
#include "fd.h"
#include "run-programs.h"
#include "run-session.h"
#include "strutil.h"

int session_start_relay(Session *s, char **reterr) {
        const VmConfig *config = s->request->config;
        _cleanup_strv_free_ char **argv = NULL;
        _cleanup_close_ int fd = -EBADF;
        char *program = NULL;
        int r;

        if (!vm_config_relayed(config))
                return 0;
        fd = session_channel(s, LAUNCH_FD_ATTEST);
        if (fd < 0)
                return fd;
        /* The relay waits in read(2): it has nothing else to do. */
        if (fcntl(fd, F_SETFL, O_RDWR) < 0)
                return -errno;
        r = run_find_program("relay", &program, reterr);
        if (r >= 0)
                r = strv_consume(&argv, program);
        if (r >= 0)
                r = strv_pushf(&argv, "--attestation-service=%s", config->attestation_service);
        STRV_FOREACH(o, config->owner)
                if (r >= 0 && startswith(*o, "--attestation-ca="))
                        r = strv_push(&argv, *o);
        if (r < 0)
                return r;
        return process_spawn(
                        &(const ProcessSpec) {
                                        .file = argv[0],
                                        .argv = argv,
                                        .stdin_fd = fd,
                                        .stdout_fd = fd,
                                        .stderr_fd = -EBADF,
                                        .own_group = true,
                        },
                        &s->relay, reterr);
}
