/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* A panic that no device reports. The text of one on the console does not prove one: anybody in the guest, or a stranger whose text is logged
 * there, can write it. It is believed when the guest has stopped, too: for two seconds a CPU is in a kernel's delay loop and the guest
 * says nothing. A guest that waits in HLT, runs a program, or says something is alive.
 *
 * Registers of a SEV-ES or SNP guest cannot be read. There the kernel's last line of a panic must have come, and nothing
 * after it on any channel for half a minute. */

#include <errno.h>

#include "coco.h"
#include "log.h"
#include "run-session.h"

#define TICK_USEC       200000u
#define TICKS_MAX       300u /* a minute: then it was only text */
#define TICKS_ENCRYPTED 150u

static bool registers_readable(const Session *s) {
        return s->request->choices->simulated || !coco_of(s->request->config->coco)->encrypted_registers;
}

static int believe(Session *s) {
        s->panic.timer = loop_source_unref(s->panic.timer);
        s->facts.panicked = true;
        session_end(s, END_QUIT);
        return 0;
}

static int read_next(Session *s);

static int on_code(_unused_ QmpClient *c, int error, const QmpCode *code, void *userdata) {
        Session *s = userdata;
        QmpDeadloop *cpu = s->panic.cpus + s->panic.next;

        if (!s->panic.timer || s->end_step > 0)
                return 0;
        qmp_deadloop_add_hit(cpu, error >= 0 && qmp_in_delay_loop(code));
        if (qmp_deadloop_reached(cpu))
                return believe(s);
        s->panic.next++;
        return read_next(s);
}

/* One CPU after the other; at the last one the timer goes on. */
static int read_next(Session *s) {
        unsigned cpus = MIN(s->request->config->cpus, PANIC_CPUS);

        if (s->panic.next >= cpus)
                return loop_source_rearm(s->panic.timer, TICK_USEC);
        return qmp_read_rip(s->qmp, s->panic.next, on_code, s) == -ENOMEM ? -ENOMEM : 0;
}

static int on_tick(LoopSource *source, _unused_ uint64_t usec, void *userdata) {
        Session *s = userdata;
        PanicWatch *p = &s->panic;
        uint64_t life = s->console.all + s->heard;

        if (s->end_step > 0 || s->qemu_gone || ++p->ticks > TICKS_MAX) {
                p->timer = loop_source_unref(p->timer);
                return 0;
        }
        p->quiet++;
        if (life != p->life) {
                p->life = life;
                p->quiet = 0;
                for (size_t i = 0; i < ELEMENTSOF(p->cpus); i++)
                        p->cpus[i] = (QmpDeadloop) {};
        }
        if (!registers_readable(s)) {
                if (p->ended && p->quiet >= TICKS_ENCRYPTED)
                        return believe(s);
                return loop_source_rearm(source, TICK_USEC);
        }
        p->next = 0;
        return read_next(s);
}

void session_on_panic_text(Session *s) {
        PanicWatch *p = &s->panic;

        s->facts.panic_text = true;
        p->ticks = 0;
        if (p->timer || s->qemu_gone || s->end_step > 0)
                return;
        *p = (PanicWatch) { .life = s->console.all + s->heard };
        if (loop_add_timer(s->loop, TICK_USEC, on_tick, s, &p->timer) < 0)
                p->timer = NULL;
}
