/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The event loop: sd-event behind a thin wall, in its own library (loop_dep) since few programs need one. Handlers
 * return 0, or -errno, which ends loop_run() with that error. Sources are owned by the caller that added them: unref removes. */

#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

#include "macro.h"

typedef struct sd_event Loop;
typedef struct sd_event_source LoopSource;

typedef int (*LoopIoHandler)(LoopSource *s, int fd, uint32_t events, void *userdata);
typedef int (*LoopTimeHandler)(LoopSource *s, uint64_t usec, void *userdata);
typedef int (*LoopSignalHandler)(LoopSource *s, const struct signalfd_siginfo *si, void *userdata);
typedef int (*LoopChildHandler)(LoopSource *s, const siginfo_t *si, void *userdata);
typedef int (*LoopDeferHandler)(LoopSource *s, void *userdata);

_warn_unused_result_ int loop_new(Loop **ret);
Loop *loop_unref(Loop *l);
DEFINE_TRIVIAL_CLEANUP_FUNC(Loop *, loop_unref);
/* Dispatches until loop_exit(); returns its code (0 or more), or a handler's -errno. */
_warn_unused_result_ int loop_run(Loop *l);
int loop_exit(Loop *l, int code);
/* 0 if loop_exit() was called or a handler failed, but loop_run() has not returned yet; else -ENODATA. */
_warn_unused_result_ int loop_exit_code(Loop *l, int *ret);
/* One turn, at most `timeout_usec` long (UINT64_MAX: no limit): 1 dispatched, 0 timeout, or -errno. For tests and probes. */
_warn_unused_result_ int loop_once(Loop *l, uint64_t timeout_usec);

LoopSource *loop_source_unref(LoopSource *s);
DEFINE_TRIVIAL_CLEANUP_FUNC(LoopSource *, loop_source_unref);

_warn_unused_result_ int loop_add_io(
                Loop *l, int fd, uint32_t events, LoopIoHandler handler, void *userdata, LoopSource **ret);
int loop_source_set_io_events(LoopSource *s, uint32_t events);
/* Fires once, `usec` microseconds from now (CLOCK_MONOTONIC). */
_warn_unused_result_ int loop_add_timer(
                Loop *l, uint64_t usec, LoopTimeHandler handler, void *userdata, LoopSource **ret);
/* Arms a timer again, `usec` microseconds from now. */
int loop_source_rearm(LoopSource *s, uint64_t usec);
/* Blocks the signal for this thread and handles it in the loop. */
_warn_unused_result_ int loop_add_signal(
                Loop *l, int sig, LoopSignalHandler handler, void *userdata, LoopSource **ret);
/* Watches a child by its pidfd; the child is reaped after the handler ran. The pidfd stays the caller's. Its end
 * is told after all else that is ready: what the child wrote before counts. */
_warn_unused_result_ int loop_add_child(
                Loop *l, int pidfd, LoopChildHandler handler, void *userdata, LoopSource **ret);
/* Runs once in the next turn, before other sources. */
_warn_unused_result_ int loop_add_defer(Loop *l, LoopDeferHandler handler, void *userdata, LoopSource **ret);
