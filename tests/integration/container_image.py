# SPDX-License-Identifier: LGPL-2.1-or-later
"""Makes container images: OCI layouts and docker archives, from layers as Python describes them."""

import gzip
import hashlib
import io
import json
import subprocess
import tarfile

OCI = "application/vnd.oci.image."


def member(name, content=b"", kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content) if kind == tarfile.REGTYPE else 0
    return info, content


def link(name, target):
    return member(name, kind=tarfile.SYMTYPE, target=target)


def hard(name, target):
    return member(name, kind=tarfile.LNKTYPE, target=target)


def folder(name):
    return member(name, kind=tarfile.DIRTYPE)


def layer(*members, form=tarfile.PAX_FORMAT):
    """An uncompressed tar of (TarInfo, bytes); a dictionary is files by name."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for m in members:
            for info, content in [member(n, c) for n, c in m.items()] if isinstance(m, dict) else [m]:
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def packed(plain, how):
    if how == "gzip":
        return gzip.compress(plain, 1, mtime=0)
    if how == "zstd":
        return subprocess.run(["zstd", "-q", "-c"], input=plain, capture_output=True, check=True).stdout
    return plain


def digest(data, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


class Layout:
    """An OCI image layout in memory: name -> bytes."""

    def __init__(self):
        self.files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}'}
        self.manifests = []

    def blob(self, data, media, algorithm="sha256", **more):
        d = digest(data, algorithm)
        self.files["blobs/" + d.replace(":", "/")] = data
        return {"mediaType": media, "digest": d, "size": len(data), **more}

    def image(self, layers, name=None, how="gzip", platform=None, algorithm="sha256", index=False, diff_ids=None, media=None):
        config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids or [digest(x, algorithm) for x in layers]}}
        manifest = {"schemaVersion": 2, "config": self.blob(json.dumps(config).encode(), OCI + "config.v1+json", algorithm),
                    "layers": [self.blob(packed(x, how), media or OCI + "layer.v1.tar+gzip", algorithm) for x in layers]}  # fmt: skip
        d = self.blob(json.dumps(manifest).encode(), OCI + "manifest.v1+json", algorithm)
        if platform:
            d["platform"] = dict(zip(("os", "architecture"), platform.split("/")))
        if index:
            d = self.blob(json.dumps({"schemaVersion": 2, "manifests": [d]}).encode(), OCI + "index.v1+json")
        if name:
            d["annotations"] = {"org.opencontainers.image.ref.name": name}
        self.manifests.append(d)
        return d

    def whole(self):
        return {**self.files, "index.json": json.dumps({"schemaVersion": 2, "manifests": self.manifests}).encode()}

    def write(self, where):
        for name, data in self.whole().items():
            (where / name).parent.mkdir(parents=True, exist_ok=True)
            (where / name).write_bytes(data)
        return where

    def write_tar(self, where, how=None):
        where.write_bytes(packed(layer(self.whole()), how))
        return where


def docker(where, images, links=False):
    """What `docker save` wrote: images: [(tags, layers)]; `links`: each layer but the first is a link to a file elsewhere."""
    members, manifest = [], []
    for tags, layers in images:
        names = []
        for i, data in enumerate(layers):
            h = hashlib.sha256(data).hexdigest()
            if links and i > 0:
                members += [member(f"{h}.tar", data), folder(f"{i}{h[1:]}"), link(f"{i}{h[1:]}/layer.tar", f"../{h}.tar")]
                names.append(f"{i}{h[1:]}/layer.tar")
            else:
                members.append(member(f"{h}.tar", data))
                names.append(f"{h}.tar")
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]}}).encode()
        h = hashlib.sha256(config).hexdigest()
        members.append(member(f"{h}.json", config))
        manifest.append({"Config": f"{h}.json", "RepoTags": tags, "Layers": names})
    where.write_bytes(layer(*members, {"manifest.json": json.dumps(manifest).encode()}))
    return where
