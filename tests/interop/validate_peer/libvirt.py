# SPDX-License-Identifier: LGPL-2.1-or-later
"""A stand-in for libvirt's Python binding, for the peer only: the host is the JSON file that STANDIN_LIBVIRT names, the same that
our stand-in for libvirt.so reads."""

import io
import json
import os

VIR_DOMAIN_PAUSED = 3


class libvirtError(Exception):
    pass


class Domain:
    def __init__(self, host, data):
        self.host, self.data = host, data

    def ID(self):
        return self.data["id"]

    def name(self):
        return self.data["name"]

    def UUIDString(self):
        return self.data["uuid"]

    def isActive(self):
        return self.data["active"]

    def info(self):
        return [self.data["state"], 0, 0, self.data["vcpus"], 0]

    def XMLDesc(self, flags=0):
        return self.data["xml"]

    def launchSecurityInfo(self, flags=0):
        if "launch" not in self.data:
            raise libvirtError("launch security information is not available")
        return self.data["launch"]

    def setLaunchSecurityState(self, params, flags=0):
        self.host.log(f"inject {params['sev-secret-header']} {params['sev-secret']}")

    def resume(self):
        self.host.log("resume")


class Connection:
    def __init__(self):
        with io.open(os.environ["STANDIN_LIBVIRT"]) as f:
            self.data = json.load(f)

    def log(self, text):
        with io.open(os.environ["STANDIN_LIBVIRT"] + ".log", "a") as f:
            f.write(text + "\n")

    def getHostname(self):
        return self.data["hostname"]

    def getCapabilities(self):
        return self.data["capabilities"]

    def find(self, kind, value):
        for d in self.data["domains"]:
            if d[kind] == value:
                return Domain(self, d)
        raise libvirtError(f"Domain not found: no domain with matching {kind} '{value}'")

    def lookupByID(self, value):
        return self.find("id", value)

    def lookupByUUIDString(self, value):
        if len(value.replace("-", "")) != 32:
            raise libvirtError(f"invalid argument: uuidstr in virDomainLookupByUUIDString must be a valid UUID: {value}")
        return self.find("uuid", value)

    def lookupByName(self, value):
        return self.find("name", value)


def open(uri):  # noqa: A001
    if uri.startswith("nowhere"):
        raise libvirtError(f"no connection driver available for {uri}")
    return Connection()
