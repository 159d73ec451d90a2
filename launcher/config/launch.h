/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What a launch consists of once files are opened and the host is known, as plain data: LaunchInputs comes from launcher/resolve,
 * HostCaps from launcher/run (or from --host-caps=FILE); launcher/compose makes QEMU's arguments of both. */

#include <errno.h>
#include <sys/types.h>

#include "config.h"

/* Descriptors that QEMU inherits have fixed numbers, so that the same launch has the same arguments every time and
 * --print=argv shows the real ones. Numbers from 100 up are out of the way of everything else. */
typedef enum LaunchFd {
        LAUNCH_FD_QMP = 100,
        LAUNCH_FD_CONSOLE,
        LAUNCH_FD_NOTIFY,
        LAUNCH_FD_STDOUT,
        LAUNCH_FD_STDERR,
        LAUNCH_FD_TPM,
        LAUNCH_FD_OVERLAY,
        LAUNCH_FD_ATTEST,
        LAUNCH_FD_VSOCK,
        LAUNCH_FD_NETWORK,
        LAUNCH_FD_FIRMWARE = 110,
        LAUNCH_FD_NVRAM,
        LAUNCH_FD_KERNEL,
        LAUNCH_FD_INITRD,
        LAUNCH_FD_CMDLINE,
        LAUNCH_FD_TABLE, /* simulated launch: kernel hashes, or the list of a TD's memory */
        LAUNCH_FD_IMAGE,
        LAUNCH_FD_DH_CERT,
        LAUNCH_FD_SESSION,
        LAUNCH_FD_STDIN,
        LAUNCH_FD_STRINGS = 120, /* and up: SMBIOS type 11 strings and fw_cfg files */
        LAUNCH_FD_STRINGS_MAX = 120 + 400,
        LAUNCH_FD_SHARES = LAUNCH_FD_STRINGS_MAX,      /* and up: SHARES_MAX connections to virtiofsd */
        LAUNCH_FD_KVM = LAUNCH_FD_SHARES + SHARES_MAX, /* from the service manager */
        LAUNCH_FD_TD_MODULE, /* simulated launch: the plug-in that plays the TDX module */
} LaunchFd;

/* Ports of the root complex that disks are plugged into: the image, extra drive i + 1, the SCSI bus. */
#define DISK_PORT  "disk-port"
#define DRIVE_PORT "drive-port-%zu"
#define SCSI_PORT  "scsi-port"
/* And spare ones, for disks that come while the guest runs: the functions of one slot, whose number is in the way of nothing else. */
#define HOT_PORT      "hot-port-%u"
#define HOT_PORTS     4u /* each makes a boot longer */
#define HOT_PORT_SLOT 0x10u

/* The set of descriptors that LAUNCH_FD_KVM is in: 1 and 2 are pflash's, those of disks count from 11. */
#define LAUNCH_KVM_SET 3

/* QEMU's own sandbox, for each QEMU that is started. */
#define LAUNCH_SANDBOX "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

typedef enum FirmwareKind {
        FIRMWARE_KIND_SEABIOS, /* QEMU's default */
        FIRMWARE_KIND_ROM,     /* one image by -bios: what SEV measures */
        FIRMWARE_KIND_PFLASH,  /* code and a fresh copy of the variable template */
        _FIRMWARE_KIND_MAX,
} FirmwareKind;

typedef enum StringKind { STRING_SMBIOS11, STRING_FW_CFG } StringKind;

/* A text that QEMU reads from an inherited descriptor, so that credentials never stand in its arguments. */
typedef struct LaunchString {
        StringKind kind;
        char *name; /* owned; fw_cfg file name */
        int fd;     /* owned: LAUNCH_FD_STRINGS + i */
} LaunchString;

/* What is still to be copied into a memory file: numbers, sizes and paths are settled without it, so that QEMU can start beside it. */
typedef struct LaunchCopy {
        LaunchFd to;
        uint64_t at;
        int from;   /* owned */
        char *name; /* owned: "--linux: 'FILE'", for messages */
        uint64_t offset, size;
        bool whole; /* the file ends where the range does */
        bool done;  /* it is in its memory file, and that is sealed */
} LaunchCopy;

typedef struct LaunchInputs {
        LaunchPlan plan;

        /* How QEMU is told; owned paths, /proc/self/fd/N where the launcher holds a copy. */
        FirmwareKind firmware_kind;
        char *firmware;
        char *nvram;
        bool firmware_smm;         /* only code in system management mode may write its variables */
        char *firmware_descriptor; /* where the firmware was found, or NULL */
        char *kernel;
        char *initrd;
        char *cmdline;        /* joined by blanks; NULL: none */
        uint64_t table_gpa;   /* simulated launch: where LAUNCH_FD_TABLE belongs in guest memory */
        char *digest;         /* simulated TD: owned hex, the launch digest for its reports */
        uint32_t secret_area; /* bytes that the firmware has for injected secrets; 0: none */
        ImageFormat image_format;
        unsigned image_files; /* bit i: an image names the config's image_files[i] */

        /* For the secure processor; owned base64 as QEMU takes it, NULL: none. */
        char *host_data, *id_block, *id_auth;
        char *mrconfigid, *mrowner, *mrownerconfig;
        bool author_key;         /* the pair names an author key */
        char *dh_cert, *session; /* owned paths */

        CredentialTransport transport; /* never AUTO */
        size_t n_credentials;
        LaunchString *strings;
        size_t n_strings;
        char **shares;    /* owned: what vm_config_share() numbers, as absolute paths without links */
        uid_t root_owner; /* of --directory= */
        bool adapter;     /* the initrd has ours, which hands the credentials on */
        bool scan;        /* the initrd carries credentials: PID 1 there must be able to import them */
        bool scan_memory; /* without credentials: the initrd may unpack to more than the guest's memory holds */

        int fds[16]; /* owned: the LAUNCH_FD_* that are open */
        size_t n_fds;
        LaunchCopy *copies; /* owned; what is copied into one memory file stands together */
        size_t n_copies;
        bool preconfig; /* QEMU waits for x-exit-preconfig before it builds the machine, which reads these files */

        char **notices; /* sentences for the user, in order */
} LaunchInputs;

void launch_inputs_done(LaunchInputs *in);
/* Moves fd (taken, also on failure) to a fixed number and keeps it for QEMU. */
_warn_unused_result_ int launch_inputs_keep_fd(LaunchInputs *in, int fd, LaunchFd number);
/* A memory file of this size under its number, and *ret_path for QEMU (owned); launch_inputs_add_copy() says what comes into it. */
_warn_unused_result_ int launch_inputs_new_file(
                LaunchInputs *in, uint64_t size, LaunchFd number, char **ret_path);
/* Takes from and name, also on failure. */
_warn_unused_result_ int launch_inputs_add_copy(LaunchInputs *in, LaunchCopy copy);
/* They are done. */
void launch_inputs_drop_copies(LaunchInputs *in);
/* A text for QEMU to read as a file; *ret is its owned path. */
_warn_unused_result_ int launch_inputs_keep_text(
                LaunchInputs *in, const char *text, LaunchFd number, char **ret);
_warn_unused_result_ int launch_inputs_add_string(
                LaunchInputs *in, StringKind kind, const char *name, const void *text, size_t size);

typedef struct HostCaps {
        bool kvm;                 /* really usable, not just a device node */
        char *kvm_reason;         /* owned; why not, or NULL */
        bool has[_COCO_MODE_MAX]; /* the CPU has the technology; for TDX, KVM offers it */
        struct {
                unsigned cbitpos, reduced_phys_bits; /* of this CPU; 0: none */
                uint64_t snp_policy_bits;            /* that this kernel takes; 0: not known */
        } sev;
        char *qemu;           /* owned path, or NULL */
        char *swtpm;          /* owned path, or NULL */
        char *virtiofsd;      /* owned path, or NULL */
        bool vsock;           /* /dev/vhost-vsock can be opened */
        char *quote_socket;   /* owned path of the service for TDX quotes, or NULL */
        int kvm_fd, vsock_fd; /* weak: devices that the service manager has opened for us; 0: none */
        bool monitor_object; /* this QEMU's monitor is an object (monitor-qmp, 11.1); else the option -mon */
} HostCaps;

/* How many there are: none where a disk may not come, so that such a guest has no device for it. */
static inline unsigned vm_config_hot_ports(const VmConfig *c) {
        return vm_config_confidential(c) && !(c->allow_untrusted & ALLOW_DISK) ? 0 : HOT_PORTS;
}

void host_caps_done(HostCaps *caps);
_warn_unused_result_ int host_caps_to_json(const HostCaps *caps, Json **ret);
/* Unknown members are allowed: check-host writes more than a launch needs. */
_warn_unused_result_ int host_caps_from_json(const Json *j, HostCaps *ret, char **reterr);

/* What was decided about the running machine itself. */
typedef struct LaunchChoices {
        bool kvm;            /* else TCG */
        ConsoleMode console; /* never AUTO */
        bool tpm;
        bool run;      /* ports for --run */
        bool terminal; /* what runs has one, as our user has */
        bool simulated;
        VsockMode vsock; /* never AUTO */
        uint32_t vsock_cid;
        char mac[18];         /* of a tap interface's guest; empty: QEMU's default */
        bool ssh_key;         /* one is generated */
        int kvm_fd, vsock_fd; /* weak: devices that were passed to us; 0: none */
        bool vsock_notify;    /* the guest's systemd reports through vsock */
} LaunchChoices;

/* What is made for the guest before its files are resolved, since credentials name it. */
typedef struct LaunchLogin {
        const char *key;       /* borrowed: file of the public key; NULL: none was generated */
        uint32_t notify_port;  /* of vsock; 0: none */
        uint32_t journal_port; /* likewise; 0: vm_config_journal_port() */
} LaunchLogin;
