/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "run-hook.h"

#include <errno.h>
#include <sys/epoll.h>

#include "log.h"
#include "progress.h"
#include "run-session.h"

typedef struct Wait {
        bool readable, over;
} Wait;

Loop *run_hook_loop(RunHook *h) {
        return h->loop;
}

QmpClient *run_hook_qmp(RunHook *h) {
        return h->qmp;
}

static int on_readable(LoopSource *source, _unused_ int fd, _unused_ uint32_t events, void *userdata) {
        Wait *w = userdata;

        w->readable = true;
        return loop_source_set_io_events(source, 0);
}

static int on_time(_unused_ LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Wait *w = userdata;

        w->over = true;
        return 0;
}

int run_hook_wait(RunHook *h, int fd, uint64_t timeout_usec) {
        _cleanup_(loop_source_unrefp) LoopSource *io = NULL, *timer = NULL;
        Wait w = {};
        int r = loop_add_io(h->loop, fd, EPOLLIN, on_readable, &w, &io);

        if (r >= 0)
                r = loop_add_timer(h->loop, timeout_usec, on_time, &w, &timer);
        while (r >= 0 && !w.readable && !w.over && !session_interrupted(h) && !h->qemu_gone)
                r = loop_once(h->loop, UINT64_MAX);
        if (r < 0)
                return r;
        return w.readable ? 0 : w.over ? -ETIMEDOUT : -ECANCELED;
}

void run_hook_tell(RunHook *h, const char *event, const char *sentence) {
        Json *data = NULL;

        progress_note();
        log_notice("%s", sentence);
        if (js_build(&data, "{s:s}", "detail", sentence) >= 0)
                event_emit(h->request->events, event, data);
}
