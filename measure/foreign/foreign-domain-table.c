/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* What the elements of a libvirt domain do to the measured bytes (libvirt: formatdomain.html). */

#include "foreign-domain-table.h"

#include <stdio.h>

#include "foreign-effect.h"
#include "strutil.h"

/* --- tables -------------------------------------------------------------------------------------------------------------- */

#define TABLE(name, text)                                                                                   \
        static const EffectTable name = {                                                                   \
                .what = text, .rows = name##_rows, .n_rows = ELEMENTSOF(name##_rows)                        \
        }

static const EffectRow domain_rows[] = {
        { EFFECT_KNOWN, "os cpu vcpu vcpus launchSecurity memory features commandline" },
        { EFFECT_NONE, "name uuid genid title description metadata currentMemory maxMemory memoryBacking memtune numatune cputune blkiotune iothreads iothreadids defaultiothread resource sysinfo clock on_poweroff on_reboot on_crash on_lockfailure pm perf seclabel keywrap idmap devices throttlegroups override deprecation bootloader bootloader_args hwuuid" },
        { EFFECT_UNKNOWN, "capabilities", "it changes how libvirt writes QEMU's command line" },
};
TABLE(domain, "<domain>'s element ");

static const EffectRow os_rows[] = {
        { EFFECT_KNOWN, "type loader nvram varstore kernel initrd cmdline shim firmware" },
        { EFFECT_NONE, "boot bootmenu bios smbios acpi init initarg initenv initdir inituser initgroup" },
        { EFFECT_UNKNOWN, "dtb", "QEMU appends that file to the kernel that it measures" },
};
TABLE(os, "<os>'s element ");

static const EffectRow security_rows[] = {
        { EFFECT_KNOWN, "policy hostData idBlock idAuth guestVisibleWorkarounds cbitpos reducedPhysBits" },
        { EFFECT_NONE, "handle dhCert session" },
};
TABLE(security, "<launchSecurity>'s element ");

static const EffectRow security_attribute_rows[] = {
        { EFFECT_KNOWN, "type kernelHashes" },
        { EFFECT_NONE, "authorKey vcek" },
};
TABLE(security_attribute, "<launchSecurity>'s attribute ");

static const EffectRow tdx_rows[] = {
        { EFFECT_KNOWN, "policy mrConfigId mrOwner mrOwnerConfig" },
        { EFFECT_NONE, "quoteGenerationService" },
};
TABLE(tdx, "<launchSecurity type='tdx'>'s element ");

static const EffectRow tdx_attribute_rows[] = {
        { EFFECT_KNOWN, "type" },
};
TABLE(tdx_attribute, "<launchSecurity type='tdx'>'s attribute ");

static const EffectRow quote_attribute_rows[] = {
        { EFFECT_NONE, "path" },
};
TABLE(quote_attribute, "<quoteGenerationService>'s attribute ");

static const EffectRow cpu_rows[] = {
        { EFFECT_KNOWN, "model" },
        { EFFECT_NONE, "vendor topology cache maxphysaddr feature numa arch" },
};
TABLE(cpu, "<cpu>'s element ");

static const EffectRow feature_rows[] = {
        { EFFECT_KNOWN, "smm" },
        { EFFECT_NONE, "acpi apic pae hap viridian privnet hyperv kvm xen pvspinlock pmu vmport gic ioapic hpt vmcoreinfo htm nested-hv msrs ccf-assist cfpc sbbc ibs tcg async-teardown ras ps2 aia capabilities" },
};
TABLE(feature, "<features>' element ");

static const struct {
        const char *path;
        const EffectTable *table;
} checked[] = {
        { "", &domain },
        { "/os", &os },
        { "/cpu", &cpu },
        { "/features", &feature },
};

static int check_nodes(LibvirtXml *x, const char *what, const EffectTable *table, char *const *assumed,
                char **reterr) {
        char path[PATH_MAX_X];
        size_t n = 0;
        int r = libvirt_xml_count(x, what, &n);

        for (size_t i = 1; r >= 0 && i <= MIN(n, (size_t) ELEMENTS_MAX); i++) {
                _cleanup_free_ char *name = NULL;

                (void) snprintf(path, sizeof(path), "(%s)[%zu]", what, i);
                r = libvirt_xml_name(x, path, &name);
                if (r >= 0)
                        r = effect_check(table, name ?: "", assumed, reterr);
        }
        return r < 0 ? r : 0;
}

/* What there is depends on the type. */
static int check_security(LibvirtXml *x, char *const *assumed, char **reterr) {
        static const struct {
                const char *path;
                const EffectTable *amd, *intel;
        } parts[] = {
                { DOMAIN "/launchSecurity/*", &security, &tdx },
                { DOMAIN "/launchSecurity/@*", &security_attribute, &tdx_attribute },
                { DOMAIN "/launchSecurity/*/@*", NULL, &quote_attribute },
        };
        _cleanup_free_ char *type = NULL;
        int r = libvirt_xml_text(x, DOMAIN "/launchSecurity/@type", &type);

        FOREACH_ARRAY(p, parts, ELEMENTSOF(parts)) {
                const EffectTable *table = streq_ptr(type, "tdx") ? p->intel : p->amd;

                if (r >= 0 && table)
                        r = check_nodes(x, p->path, table, assumed, reterr);
        }
        return r;
}

int foreign_domain_check(LibvirtXml *x, char *const *assumed, char **reterr) {
        int r = 0;

        FOREACH_ARRAY(c, checked, ELEMENTSOF(checked)) {
                char path[PATH_MAX_X];

                (void) snprintf(path, sizeof(path), DOMAIN "%s/*", c->path);
                if (r >= 0)
                        r = check_nodes(x, path, c->table, assumed, reterr);
        }
        return r < 0 ? r : check_security(x, assumed, reterr);
}
