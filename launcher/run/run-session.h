/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One guest from spawn to end, shared by the files of launcher/run. */

#include "process.h"
#include "qmp-client.h"
#include "qmp-rip.h"
#include "run-explain.h"
#include "run-forward.h"
#include "run.h"

#define CONSOLE_TAIL (64u * 1024u) /* what of a hidden console is shown after a failure */
#define LINE_MAX_IN  4096u         /* notify lines from the guest, messages from QEMU */

typedef struct LineReader {
        char line[LINE_MAX_IN];
        size_t size;
} LineReader;

/* Calls handler for each whole line (without its newline, cut off after LINE_MAX_IN - 1 bytes). */
void line_reader_feed(LineReader *l, const char *data, size_t size,
                void (*handler)(char *line, void *userdata), void *userdata);
/* At the end of the text: what came without a newline is a line too. */
void line_reader_end(LineReader *l, void (*handler)(char *line, void *userdata), void *userdata);

typedef struct ConsoleState {
        Forward forward;
        char *tail; /* owned, CONSOLE_TAIL bytes: the last that the guest wrote */
        size_t tail_size;
        uint64_t seen; /* bytes since cont */
        int input_fd;  /* the channel again, for what the user types; -EBADF: nothing is typed */
        LoopSource *input_source;
        bool raw; /* our terminal is in raw mode */
        void *saved_termios;
        unsigned escapes; /* ^] in a row */
        uint64_t escape_usec;
} ConsoleState;

typedef struct ScanChild {
        Process process;
        int fd;
        LoopSource *source;
        bool done;
        int result; /* 0: PID 1 there can import, else -errno */
        bool has_sh;
        char *sentence; /* owned */
} ScanChild;

typedef struct Session {
        const RunRequest *request; /* weak */
        Loop *loop;
        RunFacts facts;
        char *error; /* owned: why the launcher failed, or NULL */

        Process qemu;
        LoopSource *qemu_source;
        bool qemu_gone;
        bool qmp_lost;    /* the monitor's socket is closed or unusable */
        bool without_mon; /* this QEMU does not know the option for the monitor */
        QmpClient *qmp;
        Forward qemu_stderr;
        LineReader qemu_lines;
        char *qemu_cause; /* owned: what a known message of QEMU means */
        ExplainRank qemu_cause_rank;
        char *guest_cause; /* owned: what the guest said to its host of its end, or NULL */

        ConsoleState console;
        Forward out, err, notify;
        LineReader notify_lines;
        bool ready_sent, stopped;
        Process swtpm, relay;
        Forward tpm_stderr;
        LineReader tpm_lines;
        ScanChild scan;
        ProgramChild measure;
        bool measure_ready;

        LoopSource *signals[5];
        LoopSource *timeout, *patience, *sampler, *panic_timer;
        unsigned n_signals, end_step, presses;
        QmpDeadloop deadloop;
        unsigned samples;

        int channel_fds[8]; /* QEMU's ends, until it has them */
        size_t n_channel_fds;
} Session;

/* Remembers the launcher's own failure (the first one counts; takes nothing) and ends the loop. */
int session_fail(Session *s, int r, const char *sentence);

/* A signal or the time limit came: not a failure of its own. */
bool session_interrupted(const Session *s);

/* run-channel.c: QEMU's end under its fixed number, ours returned (not blocking). */
_warn_unused_result_ int session_channel(Session *s, LaunchFd number);
void session_close_channels(Session *s);

/* run-qemu.c */
_warn_unused_result_ int session_spawn_qemu(Session *s, char **reterr);

/* At the end of QEMU's messages: the last one may lack its newline. */
void session_end_qemu_lines(Session *s);

/* run-console.c */
_warn_unused_result_ int session_start_console(Session *s);
void session_restore_terminal(Session *s);
void session_show_tail(Session *s);
void session_end_console(Session *s);

/* run-ports.c */
_warn_unused_result_ int session_start_ports(Session *s);

/* run-scan.c */
_warn_unused_result_ int session_start_scan(Session *s);
void session_end_scan(Session *s);

/* run-tpm.c */
_warn_unused_result_ int session_start_tpm(Session *s, char **reterr);

/* run-relay.c */
_warn_unused_result_ int session_start_relay(Session *s, char **reterr);

/* run-disk.c */
_warn_unused_result_ int session_add_disk(Session *s, char **reterr);

/* run-end.c: signals, time limit, and the steps that end QEMU: power button, quit, kill. */
_warn_unused_result_ int session_watch_signals(Session *s);
/* Nothing is ended by signals from here on; they only cut the wait for a slow reader short. */
void session_end_signals(Session *s);
_warn_unused_result_ int session_watch_timeout(Session *s);
void session_end(Session *s, unsigned step);
#define END_POWERDOWN 1u
#define END_QUIT      2u
#define END_KILL      3u

/* run-watch.c: QMP events, and boots that the firmware refused. */
int session_on_event(QmpClient *c, const char *name, const Json *data, void *userdata);
_warn_unused_result_ int session_watch_refusal(Session *s);
/* A guest may stop in the very moment that it starts, before `cont` has been seen to succeed. */
_warn_unused_result_ int session_watch_stop(Session *s);
void session_on_panic_text(Session *s);
void session_on_refusal(Session *s);

/* run-notify.c: to our own service manager. */
void session_notify_manager(Session *s, const char *line);
