# SPDX-License-Identifier: LGPL-2.1-or-later
"""Nova's own libvirt driver, asked for the XML of domains. It runs under the Python of Debian sid (see test_nova.py). Standard input: JSON, a list of servers,
each with image and flavor (their properties), "cpu" ("host": cpu_mode=host-passthrough, else cpu_mode=custom with that model), and "again" for a later start.
Standard output: a list of {"xml": ...} or {"refused": ...}. Argument: the folder of Nova's instances.

Real: what Nova's API makes of kernel_id, its checks of image and flavor, what it keeps of an image's properties, its driver. Not real: the host, which is the
fake libvirt of Nova's tests and supports all kinds of SEV, and Glance, which has each image that it is asked for."""

import json
import sys
from unittest import mock

from nova import conf, context, exception, objects, utils
from nova.compute import api
from nova.network import model
from nova.tests.fixtures import libvirt as fakelibvirt
from nova.tests.unit import fake_instance
from nova.virt import fake, hardware
from nova.virt.libvirt import blockinfo, driver

CONF = conf.CONF
HOST = {"_supports_amd_sev": True, "_max_sev_guests": 16, "_supports_amd_sev_es": True, "_max_sev_es_guests": 16, "_supports_amd_sev_snp": True,
        "_supports_uefi": True}  # fmt: skip


def instance_of(server):
    """The server, and its image as the driver gets it."""
    image = {"id": server["image"]["id"], "name": "image", "disk_format": "raw", "container_format": "bare", "properties": server["image"]["properties"]}
    flavor = objects.Flavor(id=1, name="flavor", memory_mb=server["flavor"]["ram"], vcpus=server["flavor"]["vcpus"], root_gb=10, ephemeral_gb=0, swap=0,
                            flavorid="flavor", extra_specs=server["flavor"]["properties"])
    meta = objects.ImageMeta.from_dict(image)
    hardware.get_mem_encryption_constraint(flavor, meta)  # as its API does
    glance = mock.Mock(image_api=mock.Mock(get=lambda _context, ident: {"id": ident}))
    kernel, ramdisk = api.API._handle_kernel_and_ramdisk(glance, None, None, None, image)
    kept = utils.get_system_metadata_from_image(image, flavor)
    instance = fake_instance.fake_instance_obj(
        context.get_admin_context(), uuid=image["id"], image_ref=image["id"], kernel_id=kernel or "", ramdisk_id=ramdisk or "", root_device_name="/dev/vda",
        flavor=flavor, system_metadata=kept, memory_mb=flavor.memory_mb, vcpus=flavor.vcpus, root_gb=10, expected_attrs=["system_metadata"])
    # What it would ask its database for.
    for name in ("numa_topology", "vcpu_model", "trusted_certs", "pci_requests"):
        setattr(instance, name, None)
    instance.pci_devices = objects.PciDeviceList()
    if server.get("again"):
        meta = objects.ImageMeta.from_dict(utils.get_image_from_system_metadata(kept))
    return instance, meta


def domain(server):
    host = server["cpu"] == "host"
    CONF.set_override("cpu_mode", "host-passthrough" if host else "custom", "libvirt")
    CONF.set_override("cpu_models", [] if host else [server["cpu"]], "libvirt")
    instance, meta = instance_of(server)
    computes = driver.LibvirtDriver(fake.FakeVirtAPI(), False)
    for name, value in HOST.items():
        assert hasattr(computes._host, name), name
        setattr(computes._host, name, value)
    info = blockinfo.get_disk_info(CONF.libvirt.virt_type, instance, meta)
    return computes._get_guest_xml(context.get_admin_context(), instance, model.NetworkInfo(), info, meta)


def answer(server):
    try:
        return {"xml": domain(server)}
    except (exception.NovaException, ValueError) as error:
        return {"refused": str(error)}


def main():
    servers = json.load(sys.stdin)
    # What is printed while Nova works is not the answer.
    out, sys.stdout = sys.stdout, sys.stderr
    CONF([], project="nova", default_config_files=[])
    CONF.set_override("instances_path", sys.argv[1])
    CONF.set_override("virt_type", "kvm", "libvirt")
    conf.neutron.register_dynamic_opts(CONF)
    objects.register_all()
    models = sorted({server["cpu"] for server in servers})
    with fakelibvirt.LibvirtFixture(), mock.patch.object(fakelibvirt.Connection, "getCPUModelNames", lambda _self, _arch: models):
        print(json.dumps([answer(server) for server in servers]), file=out, flush=True)


main()
