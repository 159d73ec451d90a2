/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* Names: kubevirt.io/api/core/v1, schema.go and types.go of 1.9. */

#include "foreign-kubevirt-table.h"

#include <errno.h>
#include <string.h>

#include "error.h"
#include "foreign-effect.h"

static const EffectRow machine_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "template" },
        { .effect = EFFECT_NONE, .names = "running runStrategy dataVolumeTemplates updateVolumesStrategy" },
        { .effect = EFFECT_UNKNOWN,
                        .names = "instancetype preference",
                        .why = "it sets members of the instance, such as its vCPUs: print the running instance with 'kubectl get vmi NAME -o json'" },
};

static const EffectRow spec_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "domain" },
        { .effect = EFFECT_NONE,
                        .names = "volumes networks nodeSelector affinity tolerations topologySpreadConstraints schedulerName priorityClassName evictionStrategy terminationGracePeriodSeconds livenessProbe readinessProbe hostname subdomain dnsPolicy dnsConfig accessCredentials startStrategy architecture resourceClaims serviceAccountName utilityVolumes" },
};

static const EffectRow domain_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "cpu memory machine firmware launchSecurity resources features" },
        { .effect = EFFECT_NONE, .names = "devices clock chassis ioThreads ioThreadsPolicy rebootPolicy" },
};

static const EffectRow cpu_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "model cores sockets threads" },
        { .effect = EFFECT_NONE,
                        .names = "features dedicatedCpuPlacement isolateEmulatorThread numa realtime maxSockets" },
};

static const EffectRow memory_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "guest" },
        { .effect = EFFECT_NONE, .names = "hugepages maxGuest reservedOverhead" },
};

static const EffectRow type_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "type" },
};

static const EffectRow resources_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "requests" },
        { .effect = EFFECT_NONE, .names = "limits overcommitGuestOverhead" },
};

static const EffectRow features_rows[] = {
        { .effect = EFFECT_NONE, .names = "acpi apic hyperv hypervPassthrough kvm pvspinlock" },
        { .effect = EFFECT_UNKNOWN, .names = "smm", .why = "a guest with encrypted registers has no SMM" },
};

static const EffectRow firmware_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "bootloader kernelBoot" },
        { .effect = EFFECT_NONE, .names = "uuid serial" },
        { .effect = EFFECT_UNKNOWN, .names = "acpi", .why = "it adds a table to the guest" },
};

static const EffectRow loader_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "efi" },
        { .effect = EFFECT_UNKNOWN, .names = "bios", .why = "SEV-SNP needs firmware.bootloader.efi" },
};

static const EffectRow efi_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "secureBoot" },
        { .effect = EFFECT_UNKNOWN,
                        .names = "persistent",
                        .why = "it chooses a firmware with a variable store" },
};

static const EffectRow boot_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "kernelArgs container" },
};

static const EffectRow container_rows[] = {
        { .effect = EFFECT_KNOWN, .names = "image kernelPath initrdPath" },
        { .effect = EFFECT_NONE, .names = "imagePullPolicy imagePullSecret" },
};

static const EffectRow snp_rows[] = {
        { .effect = EFFECT_KNOWN,
                        .names = "policy hostData idBlock idAuth kernelHashes guestVisibleWorkarounds" },
        { .effect = EFFECT_NONE, .names = "authorKey vcek" },
};

#define ROWS(what, name)                                                                                    \
        { what, name##_rows, ELEMENTSOF(name##_rows) }

/* Outer objects first. */
static const struct {
        const char *path[5]; /* from the instance's spec */
        EffectTable table;
} places[] = {
        { {}, ROWS("spec's member ", spec) },
        { { "domain" }, ROWS("spec.domain's member ", domain) },
        { { "domain", "cpu" }, ROWS("spec.domain.cpu's member ", cpu) },
        { { "domain", "memory" }, ROWS("spec.domain.memory's member ", memory) },
        { { "domain", "machine" }, ROWS("spec.domain.machine's member ", type) },
        { { "domain", "resources" }, ROWS("spec.domain.resources' member ", resources) },
        { { "domain", "features" }, ROWS("spec.domain.features' member ", features) },
        { { "domain", "firmware" }, ROWS("spec.domain.firmware's member ", firmware) },
        { { "domain", "firmware", "bootloader" }, ROWS("firmware.bootloader's member ", loader) },
        { { "domain", "firmware", "bootloader", "efi" }, ROWS("firmware.bootloader.efi's member ", efi) },
        { { "domain", "firmware", "kernelBoot" }, ROWS("firmware.kernelBoot's member ", boot) },
        { { "domain", "firmware", "kernelBoot", "container" },
                        ROWS("firmware.kernelBoot.container's member ", container) },
        { { "domain", "launchSecurity", "snp" }, ROWS("launchSecurity.snp's member ", snp) },
};

static int check_members(const Json *object, const EffectTable *table, char *const *assumed, char **reterr) {
        int r = 0;

        /* null is a member that is not there, as Kubernetes reads it. */
        if (!object || js_is_null(object))
                return 0;
        if (!js_is_object(object))
                return error_set(reterr, -EINVAL, "%.*s: expected an object",
                                (int) strcspn(table->what, "'"), table->what);
        for (void *i = js_iter(object); i && r >= 0; i = js_iter_next(object, i))
                r = effect_check(table, js_iter_key(i), assumed, reterr);
        return r < 0 ? r : 0;
}

int kubevirt_check_spec(const Json *spec, char *const *assumed, char **reterr) {
        int r = 0;

        FOREACH_ARRAY(p, places, ELEMENTSOF(places)) {
                const Json *j = spec;

                for (size_t i = 0; p->path[i]; i++)
                        j = js_get(j, p->path[i]);
                r = check_members(j, &p->table, assumed, reterr);
                if (r < 0)
                        break;
        }
        return r;
}

int kubevirt_check_machine(const Json *spec, char *const *assumed, char **reterr) {
        static const EffectTable table = ROWS("the VirtualMachine's spec's member ", machine);

        return check_members(spec, &table, assumed, reterr);
}
