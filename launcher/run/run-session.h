/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* One guest from spawn to end, shared by the files of launcher/run. */

#include <pthread.h>
#include <stdatomic.h>

#include "explain.h"
#include "process.h"
#include "qmp-client.h"
#include "qmp-rip.h"
#include "run-control.h"
#include "run-forward.h"
#include "run-lines.h"
#include "run-login.h"
#include "run-scan.h"
#include "run.h"

#define CONSOLE_TAIL                                                                                        \
        (64u * 1024u) /* what of a hidden console is kept; the last lines are shown after a failure */
#define CONSOLE_TAIL_LINES 30u
#define CONSOLE_QUEUE      (8u * 1024u * 1024u) /* a serial port loses what nobody takes within milliseconds */

typedef struct ConsoleState {
        Forward forward;
        char *tail; /* owned, CONSOLE_TAIL bytes: the last that the guest wrote */
        size_t tail_size;
        uint64_t seen;         /* bytes since cont */
        uint64_t all;          /* and before */
        int input_fd;          /* owned: for what the user types; -EBADF: nothing is typed */
        int log_fd;            /* owned: --console-log=; -EBADF: none */
        bool drawn;            /* control sequences went to the terminal */
        bool unfinished;       /* and the last line there has not ended */
        int qemu_in, qemu_out; /* owned: QEMU's ends, until it has them */
        LoopSource *input_source;
        bool raw; /* our terminal is in raw mode */
        void *saved_termios;
        unsigned escapes; /* ^] in a row */
        uint64_t escape_usec;
} ConsoleState;

#define CONSOLE_NONE                                                                                        \
        ((ConsoleState) {                                                                                   \
                        .forward = FORWARD_NONE,                                                            \
                        .input_fd = -EBADF,                                                                 \
                        .log_fd = -EBADF,                                                                   \
                        .qemu_in = -EBADF,                                                                  \
                        .qemu_out = -EBADF,                                                                 \
        })

/* Messages for our service manager that it has not taken yet. */
typedef struct Manager {
        int fd;            /* owned; -EBADF: there is none */
        char *messages[4]; /* owned: READY=1, EXIT_STATUS=, in order */
        size_t n_messages;
        char *status; /* owned: the last STATUS= */
        bool status_before;
        uint64_t next_status;
        LoopSource *timer;
} Manager;

#define PANIC_CPUS 16u /* of more, the first ones are looked at */

/* The console says that the kernel panicked: did it? */
typedef struct PanicWatch {
        LoopSource *timer;
        QmpDeadloop cpus[PANIC_CPUS];
        unsigned next;  /* the CPU whose registers are read now */
        unsigned ticks; /* since the text came */
        unsigned quiet; /* ticks without a byte from the guest */
        uint64_t life;  /* bytes from the guest, when we looked last */
        bool ended;     /* the kernel's last line of a panic came, too */
} PanicWatch;

/* What a scan that takes so long finds is kept: the digest of the initrd takes no longer. */
#define LONG_SCAN_USEC 10000u

typedef struct ScanChild {
        Process process;
        int fd;
        LoopSource *source;
        bool done;
        int result; /* 0: PID 1 there can import, else -errno */
        bool has_sh;
        char *sentence; /* owned */
        ScanFacts facts;
        uint64_t begun, took; /* microseconds */
        char *key;            /* owned: of the initrd, once its digest is there */
        bool for_digest;      /* not begun: the digest may tell what is known already */
} ScanChild;

/* The copies of the launch, made while QEMU starts. */
typedef struct FillThread {
        pthread_t thread;
        bool started, done;
        atomic_bool stop;
        int fd; /* owned: readable once it has ended */
        LoopSource *source;
        int result;
        char *error; /* owned */
} FillThread;

#define VSOCK_PEERS_MAX 8

/* A connection by which the guest's systemd reports. */
typedef struct VsockPeer {
        struct Session *session; /* NULL: a free place */
        int fd;                  /* owned */
        LoopSource *source;
        LineReader *lines; /* owned */
        size_t size;
} VsockPeer;

typedef struct VsockState {
        Process helper; /* vhost-device-vsock */
        bool helper_gone;
        LoopSource *helper_source, *listener_source;
        VsockPeer peers[VSOCK_PEERS_MAX];
} VsockState;

/* The standard input of --run=, on its way to the guest. */
typedef struct RunInput {
        int from, to; /* owned; -EBADF: it ended */
        LoopSource *source;
        bool file;   /* always readable */
        bool pieces; /* the adapter asks for each */
        bool begun, wanted, last;
        bool describe;       /* the next piece is about the terminal */
        int control;         /* owned: where lines about the terminal go without pieces; -EBADF: nowhere */
        LoopSource *resized; /* the terminal has another size */
        void (*on_resized)(struct Session *s);
        size_t begin, end; /* of what the channel has not taken yet */
        uint8_t data[16384];
} RunInput;
#define RUN_INPUT_NONE ((RunInput) { .from = -EBADF, .to = -EBADF, .control = -EBADF })

#define PASST_WORDS_MAX 4096u

/* A program of the host's beside QEMU: passt, systemd-journal-remote. */
typedef struct HelperState {
        Process process;
        bool gone;
        LoopSource *source;
        int words; /* owned: what it says */
} HelperState;
#define HELPER_NONE ((HelperState) { .process = PROCESS_NONE, .words = -EBADF })

/* The first helper that ended before QEMU did. */
typedef struct HelperLeft {
        LoopSource *timer;
        char *sentence; /* owned */
} HelperLeft;

/* The child that makes the scope unit and registers the guest. */
typedef struct MachineState {
        Process process;
        int fd; /* owned: its answer */
        LoopSource *source;
        bool done;
        int result;
        char *error; /* owned */
} MachineState;

typedef struct Session {
        const RunRequest *request; /* weak */
        Loop *loop;
        RunFacts facts;
        char *error; /* owned: why the launcher failed, or NULL */

        Process qemu;
        LoopSource *qemu_source;
        bool qemu_gone;
        bool qmp_lost;  /* the monitor's socket is closed or unusable */
        int qmp_error;  /* if qmp_lost: 0, QEMU closed it; or -errno */
        unsigned lacks; /* RUN_LACKS_*, as this QEMU says */
        QmpClient *qmp;
        QmpWait version; /* query-version: answered once QEMU has built the machine, or waits for x-exit-preconfig */
        QmpWait machine; /* x-exit-preconfig; without a command: not asked for */
        QmpWait cont;
        Forward qemu_stderr;
        LineReader qemu_lines;
        char *qemu_cause; /* owned: what a known message of QEMU means */
        ExplainRank qemu_cause_rank;
        char *guest_cause; /* owned: what the guest said to its host of its end, or NULL */

        ConsoleState console;
        Forward out, err, notify;
        RunInput input;
        LineReader notify_lines;
        struct CopyState *copies; /* owned: of --copy-out=; NULL: none */
        Manager manager;
        uint64_t heard; /* bytes from the ports */
        bool ready_sent, stopped;
        ControlSocket control_socket;
        int control_result;        /* of making it */
        char *control_error;       /* owned */
        VarlinkServer *control;    /* while the guest runs */
        LoopSource *rebooting;     /* while its resets do not end it */
        struct HotDisk *hot_disks; /* owned: plugged in while it runs */
        unsigned n_hot_disks;      /* ever */
        unsigned hot_ports;        /* bit i: a device is in spare port i */
        bool hot_scsi;             /* in one of them, hot_scsi_port, is a SCSI bus */
        int hot_scsi_port;
        Process swtpm, relay;
        LoopSource *swtpm_source;
        bool swtpm_gone;
        int tpm_state; /* owned: the directory that is locked; -EBADF: none */
        VsockState vsock;
        HelperState passt, journal;
        HelperLeft left;
        MachineState registration;
        Forward tpm_stderr;
        LineReader tpm_lines;
        struct ShareChild *shares; /* owned: one virtiofsd each */
        size_t n_shares;
        FillThread fill;
        ScanChild scan;
        ProgramChild measure;
        LoopSource *measure_source;
        bool measure_ready;
        int measure_result;
        MeasureAnswer answer;
        char *measure_error; /* owned */

        struct ConfineFilter *filter; /* owned: of system calls, for the time when the guest runs */

        LoopSource *signals[5];
        LoopSource *timeout, *patience, *leaving, *sampler;
        LoopSource *watch, *showing; /* of the set-up's progress */
        bool stuck;                  /* there was none for too long */
        unsigned n_signals, end_step, presses;
        QmpDeadloop deadloop;
        PanicWatch panic;
        unsigned samples;

        unsigned n_fdsets; /* descriptors of disks that QEMU has got */

        int channel_fds[12 + SHARES_MAX]; /* QEMU's ends, until it has them */
        size_t n_channel_fds;
} Session;

/* Remembers the launcher's own failure (the first one counts; takes nothing) and ends the loop. */
int session_fail(Session *s, int r, const char *sentence);
/* A helper process ended, as it does when QEMU closes their connection: if QEMU and the guest are there in three seconds, the session
 * fails with `sentence`, which is taken; NULL: no memory. */
_warn_unused_result_ int session_helper_left(Session *s, char *sentence);
void session_end_timers(Session *s);

/* A signal or the time limit came, or nothing happened for too long: what is waited for does not come. */
bool session_interrupted(const Session *s);

/* run-channel.c: QEMU's end under its fixed number, ours returned (not blocking). */
_warn_unused_result_ int session_channel(Session *s, LaunchFd number);
/* A descriptor for QEMU under its fixed number; takes fd, also on failure. */
_warn_unused_result_ int session_pass(Session *s, int fd, LaunchFd number);
void session_close_channels(Session *s);

/* run-qemu.c */
_warn_unused_result_ int session_spawn_qemu(Session *s, char **reterr);

/* At the end of QEMU's messages: the last one may lack its newline. */
void session_end_qemu_lines(Session *s);

/* run-console.c */
_warn_unused_result_ int session_start_console(Session *s, char **reterr);
void session_show_tail(Session *s);
void session_end_console(Session *s);

/* QEMU has its ends now. */
void session_close_console_ends(Session *s);

/* run-ports.c */
/* ForwardSpec.failed: something of the guest's output is lost, which ends the guest. */
void session_on_loss(Forward *f, const char *what, int error, void *userdata);
_warn_unused_result_ int session_start_ports(Session *s);
void session_end_ports(Session *s);
/* run-input.c: its channel; what comes once the guest runs */
_warn_unused_result_ int session_start_input(Session *s);
_warn_unused_result_ int session_begin_input(Session *s);
void session_input_wanted(Session *s);
/* The command starts: what is typed is for it. */
void session_input_ready(Session *s);
void session_end_input(Session *s);
/* One line of the guest's notifications. */
void session_notify_line(char *line, void *userdata);

/* run-copy-out.c: --copy-out=. What the guest says begins as a line, "COPY=1 SIZE", and goes on as that many bytes. */
_warn_unused_result_ int session_start_copies(Session *s, char **reterr);
void session_copy_line(Session *s, const char *value);
/* Takes what belongs to a file: the number of bytes. */
size_t session_copy_bytes(Session *s, const char *data, size_t size);
/* The guest has ended: waits until whole files have their names, and says what is not there. */
void session_finish_copies(Session *s);
void session_end_copies(Session *s);

/* run-network.c: vsock, too */
_warn_unused_result_ int session_start_network(Session *s, char **reterr);
void session_end_network(Session *s);

/* run-vsock.c */
_warn_unused_result_ int session_start_vsock(Session *s, char **reterr);
void session_end_vsock(Session *s);

/* run-journal.c */
_warn_unused_result_ int session_start_journal(Session *s, char **reterr);
void session_end_journal(Session *s);

/* run-machine.c: begins once QEMU runs; what is not done is waited for before the guest does. */
_warn_unused_result_ int session_start_machine(Session *s);
_warn_unused_result_ int session_wait_machine(Session *s, char **reterr);
void session_end_machine(Session *s);

/* run-set-up.c: everything between QEMU's start and the guest's, `cont` included. */
_warn_unused_result_ int session_set_up(Session *s, char **reterr);
/* What the confinement needs, while QEMU starts. */
_warn_unused_result_ int session_prepare_filter(Session *s, char **reterr);

/* run-digest.c: the measure program beside QEMU's start, where the launch has a digest, or what is known of the initrd goes by it. */
_warn_unused_result_ int session_start_measure(Session *s, char **reterr);
/* The answer about what QEMU holds by now: printed, compared, recorded before the first instruction. */
_warn_unused_result_ int session_check_measure(Session *s, char **reterr);
void session_end_measure(Session *s);

/* run-fill.c: makes the copies of the launch at once; */
_warn_unused_result_ int run_fill(const RunRequest *request, const atomic_bool *stop, char **reterr);
/* or begins to copy, and then starts what needs the copies. */
_warn_unused_result_ int session_start_fill(Session *s, char **reterr);
/* Until all is copied, and sealed. */
_warn_unused_result_ int session_wait_fill(Session *s, char **reterr);
void session_end_fill(Session *s);
/* A copy that does not end must not keep the launcher: it ends with this result in any case. */
void session_guard_copies(const Session *s, const RunResult *result);

/* run-scan.c */
_warn_unused_result_ int session_start_scan(Session *s);
/* The measure program's answer, or NULL if it failed. */
_warn_unused_result_ int session_digest_arrived(Session *s, const Json *answer);
void session_end_scan(Session *s);

/* run-tpm.c */
_warn_unused_result_ int session_start_tpm(Session *s, char **reterr);
void session_end_tpm(Session *s);

/* run-share.c */
_warn_unused_result_ int session_start_shares(Session *s, char **reterr);
/* QEMU is gone before the guest ran: was a virtiofsd to blame? */
void session_blame_shares(Session *s);
/* The last words of those that have ended. */
void session_drain_shares(Session *s, uint64_t deadline);
void session_end_shares(Session *s);

/* run-relay.c */
_warn_unused_result_ int session_start_relay(Session *s, char **reterr);

/* run-disk.c */
_warn_unused_result_ int session_add_disks(Session *s, char **reterr);

/* run-end.c: signals, time limit, and the steps that end QEMU: power button, quit, kill. */
_warn_unused_result_ int session_watch_signals(Session *s);
/* Nothing is ended by signals from here on; they only cut the wait for a slow reader short. */
void session_end_signals(Session *s);
/* Signals do again what they do by default. */
void run_release_signals(void);
_warn_unused_result_ int session_watch_timeout(Session *s);
/* Gives up a set-up that makes no progress. */
_warn_unused_result_ int session_watch_progress(Session *s);
void session_end(Session *s, unsigned step);
/* END_QUIT, with what QEMU answers. -EALREADY: that, or more, is on its way. */
_warn_unused_result_ int session_quit(Session *s, QmpReply reply, void *userdata);
/* QEMU has closed its monitor, as it does when it ends: it may not stay. */
void session_await_exit(Session *s);
#define END_POWERDOWN 1u
#define END_QUIT      2u
#define END_KILL      3u

/* run-watch.c: QMP events, and boots that the firmware refused. */
int session_on_event(QmpClient *c, const char *name, const Json *data, void *userdata);
_warn_unused_result_ int session_watch_refusal(Session *s);
/* A guest may stop in the very moment that it starts, before `cont` has been seen to succeed. */
_warn_unused_result_ int session_watch_stop(Session *s);
/* run-panic.c: text alone is not believed. */
void session_on_panic_text(Session *s);
void session_on_refusal(Session *s);

/* run-control.c: the socket is made before QEMU starts, and answers once the guest runs. */
void session_open_control(Session *s);
_warn_unused_result_ int session_start_control(Session *s);
void session_tell_control(Session *s, const char *event, const Json *data);
/* The guest has ended: clients get their answers, and QEMU's monitor is closed. */
void session_end_control(Session *s);

/* run-notify.c: to our own service manager. */
void session_start_notify(Session *s);
void session_end_notify(Session *s);
void session_notify_manager(Session *s, const char *line);
