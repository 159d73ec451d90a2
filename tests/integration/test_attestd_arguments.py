# SPDX-License-Identifier: LGPL-2.1-or-later
"""Arguments of the attestation service that are refused, before anything is created."""

import subprocess

import pytest
from sevsim_host import build_folder


@pytest.mark.parametrize("words, said", [
    (["--crl=required"], "--crl=required needs --kds-cache=DIR, --snp-certs=FILE or --tdx-collateral=FILE"),
    (["--crl=off", "--crl=required"], "--crl: given twice"),
    (["--listen=127.0.0.1:0", "--listen=127.0.0.1:1"], "--listen: given twice"),
    (["--metrics=127.0.0.1:0", "--metrics=127.0.0.1:1"], "--metrics: given twice"),
    (["--kds-cache={file}"], "--kds-cache: '{file}' is not a directory"),
    (["--cek-store={file}"], "--cek-store: '{file}' is not a directory"),
    (["--kds-cache={file}-missing"], "--kds-cache: cannot use '{file}-missing': No such file or directory"),
    (["--online", "--kds-cache=/tmp", "--kds=foo"], "--kds: expected https://..., http://... or unix:/SOCKET, not 'foo'"),
    (["--add-owner=", "--token-file={file}-token"], "--add-owner: the name is empty"),
])  # fmt: skip
def test_refused_before_anything_is_created(tmp_path, words, said):
    (tmp_path / "file").write_text("x")
    program = build_folder() / "programs/cvmspawn-attestd"
    done = subprocess.run([program, f"--state={tmp_path}/state", *(w.format(file=tmp_path / "file") for w in words)], capture_output=True, text=True,
                          check=False, timeout=60)  # fmt: skip
    assert done.returncode == 1 and said.format(file=tmp_path / "file") in done.stderr, done
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
