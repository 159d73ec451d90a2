/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What the user asked for: VmConfig, filled from the command line by one option table. Nothing here opens a file or looks at the
 * host. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "options.h"
#include "plan.h"
#include "secret.h"

typedef enum Tristate { TRISTATE_AUTO = -1, TRISTATE_NO = 0, TRISTATE_YES = 1 } Tristate;

typedef enum ImageFormat {
        IMAGE_FORMAT_AUTO,
        IMAGE_FORMAT_RAW,
        IMAGE_FORMAT_QCOW2,
        /* These are never written to. */
        IMAGE_FORMAT_VMDK,
        IMAGE_FORMAT_VHDX,
        IMAGE_FORMAT_VDI,
        IMAGE_FORMAT_VPC,
        _IMAGE_FORMAT_MAX
} ImageFormat;

typedef enum DiskType {
        DISK_VIRTIO_BLK,
        DISK_VIRTIO_SCSI,
        DISK_NVME,
        DISK_SCSI_CD,
        _DISK_TYPE_MAX,
} DiskType;

typedef struct DiskTypeFacts {
        const char *name, *driver; /* QEMU's device */
        size_t serial_max;         /* bytes */
        bool virtio;               /* its own virtio device */
        bool scsi;                 /* on the SCSI bus; else on its own PCIe port */
        bool read_only;
} DiskTypeFacts;
const DiskTypeFacts *disk_type_facts(DiskType t);

/* One --extra-drive= or --bind-volume=, in command-line order. */
typedef struct DriveSource {
        char *path; /* owned */
        ImageFormat format;
        DiskType type;               /* _DISK_TYPE_MAX: that of --image-disk-type= */
        struct VolumeSource *volume; /* owned: --bind-volume= (config-volumes.h); NULL: a file or device */
} DriveSource;

/* One --backing-file= or --data-file=: a file that qcow2 images may name in their headers. */
typedef struct ImageFile {
        char *path;         /* owned */
        ImageFormat format; /* a data file is raw */
        bool data;
} ImageFile;
#define IMAGE_FILES_MAX 16u

/* One --bind= or --bind-ro=, in command-line order. */
typedef struct ShareSource {
        char *source, *target; /* owned */
        bool read_only;
} ShareSource;
#define USER_RANGE 65536u /* user ids of a root directory, unless --private-users= says otherwise */
#define BINDS_MAX  16u

/* One --bind-user=. The guest's user and group have one number, which systemd reserves for users that are mapped into containers. */
typedef struct BindUser {
        char *name;   /* owned */
        char *target; /* owned: the home directory in the guest */
        uint32_t guest_id;

        /* what resolve_users() finds on the host; owned */
        char *home, *shell;
        char *password; /* hash, erased when freed; NULL: none that may be read */
        uint32_t uid, gid;
} BindUser;
#define BIND_USER_FIRST 60514u
#define BIND_USERS_MAX  8u
#define SHARES_MAX      (BINDS_MAX + BIND_USERS_MAX + 1) /* with the root directory */

/* One --copy-out=, in command-line order: a file of the guest, and what it becomes on the host. */
typedef struct CopyOut {
        char *path, *file; /* owned */
} CopyOut;
#define COPY_OUT_MAX      16u
#define COPY_OUT_SIZE_MAX (UINT64_C(1) << 30) /* of each: the guest may not fill the host's disk */

typedef enum FirmwareChoice {
        FIRMWARE_AUTO,
        FIRMWARE_UEFI,
        FIRMWARE_BIOS, /* QEMU's own SeaBIOS */
        FIRMWARE_NONE, /* direct kernel boot without firmware menus: SeaBIOS loads the kernel */
        FIRMWARE_PATH,
        FIRMWARE_LIST,
        FIRMWARE_DESCRIBE,
        _FIRMWARE_CHOICE_MAX,
} FirmwareChoice;

typedef enum ConsoleMode {
        CONSOLE_AUTO, /* interactive on a terminal, else read-only; buffered with --run */
        CONSOLE_INTERACTIVE,
        CONSOLE_READ_ONLY,
        CONSOLE_NATIVE,
        CONSOLE_HEADLESS,
        _CONSOLE_MODE_MAX,
} ConsoleMode;

typedef enum ConsoleTransport { CONSOLE_SERIAL, CONSOLE_VIRTIO, _CONSOLE_TRANSPORT_MAX } ConsoleTransport;

typedef enum CredentialTransport {
        TRANSPORT_AUTO,
        TRANSPORT_INITRD,
        TRANSPORT_SMBIOS,
        TRANSPORT_FW_CFG,
        TRANSPORT_CMDLINE,
        _CREDENTIAL_TRANSPORT_MAX,
} CredentialTransport;

typedef enum JsonMode { JSON_OFF, JSON_PRETTY_MODE, JSON_SHORT_MODE, _JSON_MODE_MAX } JsonMode;

typedef enum NetworkMode {
        NETWORK_NONE,
        NETWORK_USER,  /* QEMU's own */
        NETWORK_TAP,   /* an interface of the host */
        NETWORK_PASST, /* the program passt */
        _NETWORK_MODE_MAX,
} NetworkMode;

typedef enum VsockMode {
        VSOCK_AUTO,
        VSOCK_NO,
        VSOCK_YES,  /* the kernel's, /dev/vhost-vsock */
        VSOCK_USER, /* the program vhost-device-vsock */
        _VSOCK_MODE_MAX,
} VsockMode;

/* Whose service manager and machined are told of the guest. */
typedef enum ManagerChoice {
        MANAGER_AUTO, /* root: the system's, else the user's */
        MANAGER_SYSTEM,
        MANAGER_USER,
        _MANAGER_MAX,
} ManagerChoice;

typedef enum PrintMask {
        PRINT_CONFIG = 1 << 0,
        PRINT_ARGV = 1 << 1,
        PRINT_CREDENTIALS = 1 << 2,
        PRINT_DIGEST = 1 << 3,
        PRINT_CONFINEMENT = 1 << 4,
} PrintMask;

typedef enum AllowMask {
        ALLOW_DISK = 1 << 0,
        ALLOW_SHARES = 1 << 1,
        ALLOW_QEMU_ARG = 1 << 2,
} AllowMask;

/* One --set-credential= or --load-credential=, in command-line order. */
typedef struct CredentialSource {
        char *id;   /* owned */
        char *text; /* owned; the value still escaped, erased when freed; NULL if loaded */
        char *path; /* owned; NULL if set */
} CredentialSource;

/* --linux=: what the image boots. */
#define LINUX_FROM_IMAGE "from-image"

typedef struct VmConfig {
        /* what to boot */
        char *image;
        ImageFormat image_format;
        bool ephemeral;
        DiskType image_disk_type;
        bool discard_disk;
        uint64_t grow_image; /* bytes, a multiple of 4096; 0: not at all */
        DriveSource *extra_drives;
        size_t n_extra_drives;
        ImageFile *image_files;
        size_t n_image_files;
        char *directory;
        uint32_t user_shift,
                        user_range; /* of --directory=: user ids of the host; no range: from the owner's */
        bool user_shift_set;        /* else the owner's */
        ShareSource *binds;
        size_t n_binds;
        BindUser *bind_users;
        size_t n_bind_users;
        char *bind_user_shell; /* in the guest; NULL: the guest's default, or the host's */
        bool bind_user_shell_set, bind_user_host_shell;
        char **bind_user_groups;
        char *linux_path; /* or LINUX_FROM_IMAGE */
        char **initrds;
        char **cmdline; /* the user's part of the kernel command line */
        bool exact_words;

        /* machine */
        unsigned cpus;
        uint64_t ram;     /* bytes */
        uint64_t ram_max; /* bytes, with what can be plugged in while the guest runs; 0: nothing can */
        unsigned ram_slots;
        Tristate kvm;
        FirmwareChoice firmware;
        char *firmware_path;
        Tristate secure_boot;
        char **firmware_include, **firmware_exclude; /* features */
        bool any_firmware_features;                  /* nothing is left out by default */
        bool list_firmware_features;
        char *efi_nvram_template;
        char *efi_nvram_state;  /* NULL: auto; "off", or a file */
        char *machine;          /* name */
        bool machine_of_kernel; /* nobody named it, and neither did an image or a directory */
        char *uuid;
        Tristate registration; /* with systemd-machined */
        ManagerChoice manager;
        char *slice;       /* NULL: machine.slice */
        char **properties; /* NAME=VALUE, of the scope */
        bool keep_unit;    /* QEMU stays in the unit that the launcher is in */
        Tristate tpm;
        char *tpm_state; /* NULL: auto; "off", or a directory */
        NetworkMode network;
        char **publish; /* as QEMU's hostfwd takes them */
        char **smbios11;

        /* logins */
        VsockMode vsock;
        uint32_t vsock_cid; /* 0: from the name */
        Tristate pass_ssh_key;
        char *ssh_key;      /* file of a public key; NULL: generate one */
        char *ssh_key_type; /* NULL: ed25519 */

        /* the guest's journal on the host */
        char *forward_journal; /* file or directory */
        uint64_t journal_max_use, journal_keep_free, journal_max_file_size,
                        journal_max_files; /* 0: not said */

        /* console */
        ConsoleMode console;
        ConsoleTransport console_transport;
        char *console_log; /* file */
        char *background;  /* of a terminal under the console: parameters of SGR; NULL: its own */
        bool quiet;

        /* credentials and work */
        CredentialSource *credentials;
        size_t n_credentials;
        CredentialTransport credential_transport;
        char *run;
        CopyOut *copies; /* once the command of run has ended */
        size_t n_copies;
        char *adapter; /* for an initrd that imports no credentials: NULL: ours; "no", or a file */

        /* confidential computing */
        CocoMode coco;
        bool coco_auto; /* the best that host and firmware can do: spawn_choose_coco() */
        bool simulate;
        char *cpu_model;
        uint64_t guest_features;
        bool guest_features_set;
        bool cpu_model_set;
        char **coco_policy;
        bool legacy_vm_type;
        unsigned allow_untrusted; /* AllowMask */
        char *expect;
        char *lock;
        char *host_data;                            /* hex, base64 or a file: 32 bytes */
        char *mrconfigid, *mrowner, *mrownerconfig; /* likewise: 48 bytes */
        char *edk2, *fw_cfg, *bios;                 /* what RTMR0 to RTMR2 are predicted from */
        char *quote_socket;        /* of the service for quotes: path, "vsock:CID:PORT", "no"; NULL: auto */
        char *id_block, *id_auth;  /* base64 or a file: 96 bytes, up to 4096 bytes */
        char *id_key, *author_key; /* files: build and sign the pair for this launch */
        bool vcek;                 /* the VCEK may sign reports */
        char *dh_cert, *session;   /* files: the guest owner's certificate and launch session */
        char *owner_dir;           /* folder: session, keys and secrets are made here */
        char *attestation_service; /* URL */
        char **owner;              /* "--NAME=VALUE": what else the owner program is told, in order */
        char *host_caps;

        /* conduct */
        uint64_t timeout_usec; /* 0: none */
        bool shell;            /* run is a shell on the terminal */
        bool reset;            /* a guest that reboots runs again, instead of ending */
        Tristate notify_ready;
        unsigned print; /* PrintMask */
        JsonMode json;
        char *status_fd;
        char *qemu;
        char *qemu_user;
        char **qemu_args;
        bool other_user; /* decided, not asked: QEMU runs as somebody else and cannot open our files by name */
        bool help, help_all, version;

        /* not from options: names of the files that linux_path and the first initrd are descriptors of; or NULL */
        char *linux_name, *initrd_name;
} VmConfig;

extern const OptionTable config_option_table;

/* The defaults that stand before the command line is read. */
void vm_config_init(VmConfig *c);
void vm_config_done(VmConfig *c);
/* Reads the command line. On -EINVAL or -EOPNOTSUPP a sentence names the option. */
_warn_unused_result_ int vm_config_parse(VmConfig *c, int argc, char *const *argv, char **reterr);
/* Checks options against each other by one table of rules (config-rules.c). The first broken rule is the error. */
_warn_unused_result_ int vm_config_check(const VmConfig *c, char **reterr);
/* What the files of state that outlives the guest are beside: image or directory; NULL: nothing is kept. */
const char *vm_config_state_base(const VmConfig *c);
/* The tap interface that belongs to a machine's name. */
#define TAP_NAME_SIZE 16
void vm_config_tap_name(const char *machine, char ret[TAP_NAME_SIZE]);
/* The MAC address of its guest's end. */
void vm_config_mac(const uint8_t machine_id[16], const char *machine, uint8_t ret[6]);
/* The vsock address that belongs to a machine's name; `attempt` counts up where one is taken. */
uint32_t vm_config_cid(const char *machine, uint32_t attempt);
/* The journal's output is a file, not a directory; and the vsock port of the host that the guest sends it to. */
bool vm_config_journal_is_file(const VmConfig *c);
uint32_t vm_config_journal_port(const VmConfig *c);
/* False if a --qemu-arg= other than -trace, -d, -D and -name could make another launch than the one that is measured. */
bool vm_config_predictable(const VmConfig *c);
/* Everything that was decided, for --print=config; credential values are left out. */
_warn_unused_result_ int vm_config_to_json(const VmConfig *c, Json **ret);

/* True if this launch works with a table of kernel hashes: confidential or simulated, with a kernel. */
static inline bool vm_config_confidential(const VmConfig *c) {
        return c->coco != COCO_NONE;
}
/* True if somebody is asked, before the guest runs, whether this launch is the right one. */
static inline bool vm_config_attested(const VmConfig *c) {
        return c->owner_dir || (c->attestation_service && !coco_of(c->coco)->guest_report);
}
/* True if the guest asks by itself, while it runs, and is given a way to its attestation service. */
static inline bool vm_config_relayed(const VmConfig *c) {
        return c->attestation_service && coco_of(c->coco)->guest_report;
}
/* True if QEMU is asked for the tables that a prediction needs. */
static inline bool vm_config_reads_tables(const VmConfig *c) {
        return c->fw_cfg && strcmp(c->fw_cfg, "auto") == 0;
}
/* True if the digest must be known before QEMU is started: its arguments depend on it, or the wrong one starts nothing. Otherwise
 * before the guest runs is enough. */
static inline bool vm_config_measured_first(const VmConfig *c) {
        return c->simulate || c->expect || c->id_block || c->id_key || c->lock || vm_config_reads_tables(c);
}
/* The type of extra drive i. */
static inline DiskType vm_config_drive_type(const VmConfig *c, size_t i) {
        return c->extra_drives[i].type < _DISK_TYPE_MAX ? c->extra_drives[i].type : c->image_disk_type;
}
/* A directory that the guest is given by virtiofs: the root first, then binds in their order. None with --coco=. */
typedef struct Share {
        const char *option;          /* without its dashes */
        const char *source, *target; /* weak; no target: the root */
        const BindUser *user;        /* weak: whose home it is; NULL: nobody's */
        bool read_only;
        char id[16], tag[16]; /* of QEMU's device */
} Share;
static inline size_t vm_config_n_shares(const VmConfig *c) {
        return c->coco != COCO_NONE ? 0 : c->n_binds + c->n_bind_users + (c->directory ? 1 : 0);
}
void vm_config_share(const VmConfig *c, size_t i, Share *ret);
void bind_users_free(BindUser *users, size_t n);
/* The records that the guest's systemd gets of a user and of his group; *ret is owned. */
_warn_unused_result_ int vm_config_user_record(const VmConfig *c, const BindUser *u, SecretBuf *ret);
_warn_unused_result_ int vm_config_group_record(const BindUser *u, SecretBuf *ret);
/* The guest's paths of --copy-out=, a line each; *ret is owned. */
_warn_unused_result_ int vm_config_copy_list(const VmConfig *c, char **ret);
/* The lines of fstab(5) that mount binds in the guest; *ret is owned. */
_warn_unused_result_ int vm_config_fstab(const VmConfig *c, char **ret);
/* What makes a service of the guest mount them itself; *ret is owned. */
_warn_unused_result_ int vm_config_mounts_dropin(const VmConfig *c, char **ret);
/* True if files are handed over as sealed memfds: what is measured must not change under QEMU. */
static inline bool vm_config_sealed(const VmConfig *c) {
        return vm_config_confidential(c);
}
/* What the kernel command line says of the root and /usr: nothing, something unverified, or only what a verity root hash covers. */
typedef enum CmdlineRoot { CMDLINE_ROOT_NONE, CMDLINE_ROOT_UNTRUSTED, CMDLINE_ROOT_VERITY } CmdlineRoot;
CmdlineRoot cmdline_root(char *const *cmdline);
/* The mode's default policy with the flags and numbers of --coco-policy= applied. */
_warn_unused_result_ int vm_config_policy(const VmConfig *c, uint64_t *ret, char **reterr);

const char *image_format_to_string(ImageFormat f);
/* AUTO: unknown. */
ImageFormat image_format_from_string(const char *name);
const char *firmware_choice_to_string(FirmwareChoice f);
const char *console_mode_to_string(ConsoleMode m);
const char *console_transport_to_string(ConsoleTransport t);
const char *credential_transport_to_string(CredentialTransport t);
const char *tristate_to_string(Tristate t);
const char *network_mode_to_string(NetworkMode m);
const char *vsock_mode_to_string(VsockMode m);
const char *manager_to_string(ManagerChoice m);
