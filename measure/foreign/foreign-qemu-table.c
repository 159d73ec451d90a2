/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "foreign-qemu-table.h"

#include <errno.h>
#include <string.h>

#include "strutil.h"

#define TABLE(name, text)                                                                                   \
        const EffectTable name = { .what = text, .rows = name##_rows, .n_rows = ELEMENTSOF(name##_rows) }

/* --- options ------------------------------------------------------------------------------------------------------------- */

#define TAKES_STATE "the guest's memory comes from elsewhere, and QEMU cannot restore SEV guests"

/* Switches without an argument. */
static const EffectRow qemu_switches_rows[] = {
        { EFFECT_NONE,
                        "S s alt-grab ctrl-grab curses daemonize enable-fips enable-sync-profile fips "
                        "full-screen "
                        "jitdump localtime mem-prealloc no-acpi no-fd-bootchk no-frame no-hpet "
                        "no-kvm-irqchip "
                        "no-kvm-pit no-kvm-pit-reinjection no-quit no-reboot no-shutdown no-user-config "
                        "nodefaults nodefconfig nographic old-param perfmap portrait "
                        "preconfig "
                        "rtc-td-hack sdl show-cursor singlestep snapshot tdf usb win2k-hack xen-attach "
                        "xen-domid-restrict" },
        { EFFECT_KNOWN, "enable-kvm no-kvm" },
        { EFFECT_UNKNOWN, "only-migratable", "QEMU refuses SEV guests with it, which do not migrate" },
        { EFFECT_UNKNOWN, "h help version audio-help enable-hax semihosting",
                        "QEMU does not start a SEV guest with it" },
};
TABLE(qemu_switches, "QEMU's option -");

static const EffectRow qemu_options_rows[] = {
        { EFFECT_NONE,
                        "D acpitable action add-fd async-teardown audio audiodev balloon boot cdrom "
                        "chardev chroot compat d debugcon dfilter display drive_add dump-vmstate echr fda "
                        "fdb fsdev fw_cfg g gdb hda hdachs hdb hdc hdd id iscsi k kvm-shadow-memory "
                        "mem-path mon monitor msg mtdblock name net netdev nic numa option-rom overcommit "
                        "parallel pidfile plugin prom-env qmp qmp-pretty realtime redir rotate rtc run-with "
                        "runas sandbox sd seed serial smbios soundhw spice tb-size tpmdev trace usbdevice "
                        "uuid vga virtfs virtfs_synth virtioconsole vmchannel vnc watchdog watchdog-action "
                        "writeconfig xen-domid" },
        { EFFECT_KNOWN,
                        "L M accel append bios blockdev cpu device drive global initrd kernel m machine "
                        "object pflash "
                        "readconfig set shim smp" },
        { EFFECT_UNKNOWN, "dtb", "QEMU appends that file to the kernel that it measures" },
        { EFFECT_UNKNOWN, "icount",
                        "QEMU does not count instructions with KVM, and starts no SEV guest with it" },
        { EFFECT_UNKNOWN, "incoming loadvm", TAKES_STATE },
};
TABLE(qemu_options, "QEMU's option -");

int qemu_option_argument(const char *name) {
        if (effect_find(&qemu_switches, name))
                return 0;
        return effect_find(&qemu_options, name) ? 1 : -ENOENT;
}

/* --- properties ---------------------------------------------------------------------------------------------------------- */

static const EffectRow qemu_machine_properties_rows[] = {
        { EFFECT_NONE,
                        "boot. bus-lock-ratelimit cxl cxl-fmw. dt-compatible enforce-config-section hmat "
                        "igd-passthru iommu kvm-shadow-mem kvm-type nvdimm nvdimm-persistence "
                        "phandle-start s3-disable s4-disable sgx-epc. smbios-entry-point-type smp-cache. "
                        "tpm x-oem-id x-oem-table-id x-south-bridge" },
        { EFFECT_NONE,
                        "aux-ram-share default-bus-bypass-iommu dump-guest-core fd-bootchk graphics hpet "
                        "i8042 mem-merge sata smbus suppress-vmdesc usb wdat x-change-vmfd-on-reset",
                        NULL, VALUE_BOOLEAN },
        { EFFECT_NONE, "acpi acpi-spcr pic pit vmport", NULL, VALUE_ON_OFF_AUTO },
        { EFFECT_KNOWN,
                        "type accel append confidential-guest-support firmware igvm-cfg initrd kernel "
                        "max-fw-size max-ram-below-4g memory-backend memory-encryption memory. pflash0 "
                        "pflash1 shim smp." },
        { EFFECT_KNOWN, "smm", NULL, VALUE_ON_OFF_AUTO },
        { EFFECT_KNOWN, "kernel-irqchip", NULL, VALUE_ON_OFF_SPLIT },
        { EFFECT_UNKNOWN, "dtb", "QEMU appends that file to the kernel that it measures" },
        { EFFECT_UNKNOWN, "dumpdtb", "QEMU writes a device tree and ends" },
};
TABLE(qemu_machine_properties, "-machine's property ");

/* -accel of KVM. */
static const EffectRow qemu_kvm_properties_rows[] = {
        { EFFECT_KNOWN, "accel" },
        { EFFECT_KNOWN, "kernel-irqchip", NULL, VALUE_ON_OFF_SPLIT },
        { EFFECT_NONE,
                        "device dirty-ring-size eager-split-size kvm-shadow-mem notify-vmexit notify-window "
                        "rapl-helper-socket" },
        { EFFECT_NONE, "rapl", NULL, VALUE_BOOLEAN },
        { EFFECT_NONE, "honor-guest-pat", NULL, VALUE_ON_OFF_AUTO },
        { EFFECT_UNKNOWN, "xen-version xen-gnttab-max-frames xen-evtchn-max-pirq",
                        "KVM writes pages for Xen into the guest's memory" },
};
TABLE(qemu_kvm_properties, "-accel kvm's property ");

/* -m; -machine memory. has max-size for maxmem. */
static const EffectRow qemu_memory_properties_rows[] = {
        { EFFECT_KNOWN, "size maxmem slots" },
};
TABLE(qemu_memory_properties, "-m's property ");

static const EffectRow qemu_sev_properties_rows[] = {
        { EFFECT_NONE, "id qom-type sev-device session-file dh-cert-file certs-path cert-path tsc-frequency" },
        { EFFECT_NONE, "handle", NULL, VALUE_NUMBER },
        { EFFECT_NONE, "author-key-enabled auth-key-enabled vcek-disabled", NULL, VALUE_BOOLEAN },
        { EFFECT_KNOWN, "cbitpos reduced-phys-bits policy", NULL, VALUE_NUMBER },
        { EFFECT_KNOWN, "kernel-hashes secure-tsc debug-swap", NULL, VALUE_BOOLEAN },
        { EFFECT_KNOWN, "legacy-vm-type", NULL, VALUE_ON_OFF_AUTO },
        { EFFECT_KNOWN, "host-data id-block id-auth guest-visible-workarounds" },
        { EFFECT_UNKNOWN, "init-flags vmsa-features",
                        "it sets bits of the vCPUs' SEV_FEATURES, which are measured" },
        { EFFECT_UNKNOWN, "snp",
                        "an early fork of QEMU made SEV-SNP guests of sev-guest objects with it, and "
                        "measured in another order" },
};
TABLE(qemu_sev_properties, "the SEV object's property ");

static const EffectRow qemu_tdx_properties_rows[] = {
        { EFFECT_NONE, "id qom-type quote-generation-socket quote-generation-socket." },
        { EFFECT_NONE, "sept-ve-disable", NULL, VALUE_BOOLEAN },
        { EFFECT_KNOWN, "attributes", NULL, VALUE_NUMBER },
        { EFFECT_KNOWN, "mrconfigid mrowner mrownerconfig" },
};
TABLE(qemu_tdx_properties, "the TDX object's property ");

static const EffectRow qemu_object_types_rows[] = {
        { EFFECT_KNOWN,
                        "sev-guest sev-snp-guest tdx-guest igvm-cfg memory-backend-file memory-backend-memfd "
                        "memory-backend-ram "
                        "memory-backend-shm memory-backend-epc" },
        { EFFECT_NONE,
                        "acpi-generic-initiator acpi-generic-port arm-rme-guest authz-list authz-list-file "
                        "authz-pam "
                        "authz-simple can-bus can-host-socketcan colo-compare cryptodev-backend "
                        "cryptodev-backend-builtin cryptodev-backend-lkcf cryptodev-vhost-user dbus-vmstate "
                        "filter-buffer filter-dump filter-mirror filter-redirector filter-replay "
                        "filter-rewriter "
                        "input-barrier input-linux iommufd iothread main-loop monitor-hmp monitor-qmp "
                        "pef-guest pr-manager-helper qtest rng-builtin rng-egd rng-random s390-pv-guest "
                        "secret "
                        "secret_keyring thread-context throttle-group tls-cipher-suites "
                        "tls-creds-anon "
                        "tls-creds-psk tls-creds-x509 x-remote-object x-vfio-user-server" },
};
TABLE(qemu_object_types, "-object ");

/* -drive if=pflash: what may stand beside the file, and how it is opened. */
static const EffectRow qemu_drive_properties_rows[] = {
        { EFFECT_KNOWN, "if unit index bus file file.driver file.filename format driver" },
        { EFFECT_NONE,
                        "id readonly read-only auto-read-only cache cache. aio discard detect-zeroes "
                        "snapshot werror rerror "
                        "copy-on-read media locking file.locking throttling. serial secure" },
};
TABLE(qemu_drive_properties, "the flash drive's property ");

/* A block node under a flash. */
static const EffectRow qemu_block_properties_rows[] = {
        { EFFECT_KNOWN, "driver node-name filename file file.driver file.filename" },
        { EFFECT_NONE,
                        "id read-only auto-read-only cache. file.cache. aio file.aio discard file.discard "
                        "detect-zeroes "
                        "file.read-only file.auto-read-only locking file.locking force-share file.node-name "
                        "drop-cache x-check-cache-dropped" },
};
TABLE(qemu_block_properties, "the flash's block node: ");

/* Sections of -readconfig that are read; all other groups of QEMU's configuration files describe devices. */
static const EffectRow qemu_config_sections_rows[] = {
        { EFFECT_KNOWN, "machine smp-opts memory accel object drive global device" },
        { EFFECT_NONE,
                        "acpi action add-fd audiodev boot-opts chardev compat fsdev fw_cfg iscsi mon msg "
                        "name "
                        "net netdev nic numa overcommit rtc run-with sandbox smbios spice "
                        "tpmdev trace virtfs vnc plugin" },
};
TABLE(qemu_config_sections, "the configuration file's section ");
