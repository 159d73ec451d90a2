/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Private to this room: the part of the libvirt.so.0 interface that is used, which has been stable since its soname was chosen
 * (libvirt.org/html, modules libvirt-domain, libvirt-host, libvirt-common). Declared here because libvirt is loaded on need, so
 * that neither its headers nor its library are wanted where nobody asks for a domain. */

#define LIBVIRT_SONAME "libvirt.so.0"

typedef struct virConnect *virConnectPtr;
typedef struct virDomain *virDomainPtr;

typedef struct virDomainInfo {
        unsigned char state;
        unsigned long maxMem, memory;
        unsigned short nrVirtCpu;
        unsigned long long cpuTime;
} virDomainInfo;

enum {
        VIR_TYPED_PARAM_INT = 1,
        VIR_TYPED_PARAM_UINT = 2,
        VIR_TYPED_PARAM_ULLONG = 4,
        VIR_TYPED_PARAM_STRING = 7,
};

enum {
        VIR_DOMAIN_START_PAUSED = 1 << 0,
        VIR_DOMAIN_XML_SECURE = 1 << 0, /* with passwords of its displays */
        VIR_DOMAIN_XML_INACTIVE = 1 << 1,
};

#define VIR_TYPED_PARAM_FIELD_LENGTH 80

typedef struct virTypedParameter {
        char field[VIR_TYPED_PARAM_FIELD_LENGTH];
        int type;
        union {
                int i;
                unsigned int ui;
                long long int l;
                unsigned long long int ul;
                double d;
                char b;
                char *s;
        } value;
} virTypedParameter;
