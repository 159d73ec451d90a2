# SPDX-License-Identifier: LGPL-2.1-or-later
"""cvmspawn measure --glance: the files that are measured are those that Glance says it stores."""

import hashlib
import json

from test_export_openstack import LAUNCH, WORDS, call, cloud, folder, ok  # noqa: F401


def test_what_the_export_expects(cloud, folder, tmp_path):  # noqa: F811
    """The export says what Glance will show: that, with the image's ID, is read as Glance's answer, and the stand-in shows the same."""
    told = json.loads(ok(call(folder, "export", "openstack", "--json", *LAUNCH, "--cpus=2", "--", *WORDS)))
    script = ok(call(folder, "export", "openstack", *LAUNCH, "--cpus=2", "--", *WORDS))
    properties, options = json.loads((cloud.home / "image.json").read_text())["properties"], []
    for key, image in zip(("kernel_id", "ramdisk_id"), told["images"], strict=False):
        answer = json.loads(cloud.openstack("image", "show", properties[key], "-f", "json"))
        shown = image["shown"]
        assert answer["size"] == shown["size"] and shown["properties"].items() <= answer["properties"].items()
        assert f"\n# Glance has to show size {shown['size']}, os_hash_algo sha512, os_hash_value {shown['properties']['os_hash_value']}\n{key[:-3].upper()}_ID=" in script
        (tmp_path / f"{key}.json").write_text(json.dumps({"id": properties[key], **shown}))
        options.append(f"--glance={tmp_path}/{key}.json")
    assert ok(cloud.measure(*cloud.files, *options)).strip() == cloud.digest
    # Glance has stored other bytes than those that were exported.
    saved = next(path for path in (o.split("=", 1)[1] for o in cloud.files) if path.endswith("initrd"))
    data = open(saved, "rb").read()
    (tmp_path / "initrd").write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = cloud.measure(*(o for o in cloud.files if not o.startswith("--initrd=")), f"--initrd={tmp_path}/initrd", *options)
    assert done.returncode == 1 and done.stdout == "" and "is not what Glance stores" in done.stderr


def test_files_are_those_that_glance_stores(cloud, tmp_path):  # noqa: F811
    image = json.loads((cloud.home / "image.json").read_text())["properties"]
    answers = {}
    for kind, key, option in ("kernel", "kernel_id", cloud.files[0]), ("initrd", "ramdisk_id", cloud.files[1]):
        data = (cloud.home / option.split("=", 1)[1]).read_bytes()
        answers[kind] = {"id": image[key], "size": len(data), "os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(data).hexdigest(), "properties": {}}

    def compared(*kinds, **changes):
        paths = []
        for i, kind in enumerate(kinds):
            paths.append(tmp_path / f"{i}.json")
            paths[-1].write_text(json.dumps(answers[kind] | changes))
        return cloud.measure(*cloud.files, *[f"--glance={p}" for p in paths])

    for kinds in ["kernel"], ["initrd"], ["initrd", "kernel"]:
        assert ok(compared(*kinds)).strip() == cloud.digest
    # 'openstack image show' has the hash among the properties.
    form = {"os_hash_algo": None, "os_hash_value": None}
    for kind, wrong in ("kernel", False), ("initrd", True):
        properties = {name: answers[kind][name] for name in form} | ({"os_hash_value": "00" * 64} if wrong else {})
        done = compared(kind, **form, properties=properties)
        assert (done.returncode, "is not what Glance stores" in done.stderr) == ((1, True) if wrong else (0, False)), done.stderr
    for kinds, changes, message in [(["kernel"], {"size": 5}, "and Glance stores 5"), (["initrd"], {"os_hash_value": "00" * 64}, "is not what Glance stores"),
                                    (["kernel"], {"os_hash_algo": "md5"}, "it has no os_hash_algo"), (["kernel"], {"os_hash_value": "00"}, "it has no os_hash_algo"),
                                    (["kernel"], {"id": "another"}, "1 of 1 answers are of neither"), (["kernel", "kernel"], {}, "1 of 2 answers")]:  # fmt: skip
        done = compared(*kinds, **changes)
        assert done.returncode == 1 and done.stdout == "" and message in done.stderr, done.stderr
    # The answer of a hash cannot be compared with a digest of another kind.
    done = cloud.measure("--kernel-hash=" + "00" * 32, cloud.files[1], f"--glance={tmp_path}/0.json")
    assert done.returncode == 1 and done.stdout == ""
