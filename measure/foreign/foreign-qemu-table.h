/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* What this program knows about QEMU's command line: qemu-options.hx of QEMU 10.0 and 11.1, options of older versions and of Proxmox's
 * build, and the properties of machine, CPU, accelerator, SEV objects and flash drives. Facts from `qemu-system-x86_64 -help`,
 * `-machine q35,help`, `-object TYPE,help` and QMP device-list-properties of QEMU 10.0.2 and 11.1.3; tests/interop compares the tables with
 * the newest QEMU of Debian. CPUs and machine types are in foreign-qemu-cpu.c. */

#include "foreign-effect.h"

extern const EffectTable qemu_options, qemu_switches, qemu_machine_properties, qemu_cpu_properties,
                qemu_kvm_properties, qemu_memory_properties, qemu_sev_properties, qemu_tdx_properties,
                qemu_object_types, qemu_drive_properties, qemu_block_properties, qemu_config_sections;

/* Whether the option takes an argument: 1, 0, or -ENOENT for an option that is not in the table. */
int qemu_option_argument(const char *name);

/* A CPU model: family, model and stepping, or -ENOENT. Models of this machine are not in the table. */
_warn_unused_result_ int qemu_cpu_model(
                const char *name, unsigned *ret_family, unsigned *ret_model, unsigned *ret_stepping);
/* -cpu host, max, kvm64-like names whose signature is that of the machine that runs the guest. */
bool qemu_cpu_is_host(const char *name);

/* The most vCPUs of a machine type, 0 for a type whose launch is not known. */
unsigned qemu_machine_max_cpus(const char *type);
