# SPDX-License-Identifier: LGPL-2.1-or-later
#
# NOT built: its syntax was read by nix-instantiate --parse, and nixpkgs was not available. Use: pkgs.callPackage ./package.nix { }
{
  lib,
  stdenv,
  meson,
  ninja,
  pkg-config,
  python3,
  scdoc,
  bzip2,
  curl,
  gnutls,
  jansson,
  libarchive,
  libcap,
  libcbor,
  libmicrohttpd,
  libseccomp,
  libyaml,
  openssl,
  sqlite,
  systemd,
  e2fsprogs,
  libxml2,
  makeWrapper,
  zlib,
}:

stdenv.mkDerivation {
  pname = "cvmspawn";
  version = "0.1.0";
  src = lib.cleanSource ../../..;

  nativeBuildInputs = [
    meson
    ninja
    pkg-config
    python3
    scdoc
    makeWrapper
  ];
  buildInputs = [
    bzip2
    curl
    e2fsprogs
    gnutls
    jansson
    libarchive
    libcap
    libcbor
    libmicrohttpd
    libseccomp
    libyaml
    openssl
    sqlite
    systemd
    zlib
  ];
  mesonFlags = [ "-Dtests=false" ];

  # Libraries that are loaded on need are found by their soname.
  postFixup = ''
    for program in $out/bin/cvmspawn $out/bin/cvmspawn-attestd; do
      wrapProgram $program --suffix LD_LIBRARY_PATH : ${
        lib.makeLibraryPath [
          curl
          e2fsprogs
          libarchive
          libcbor
          libxml2
          libyaml
        ]
      }
    done
  '';

  meta = {
    description = "Launcher of confidential virtual machines, with predicted launch measurements";
    license = lib.licenses.lgpl21Plus;
    platforms = [ "x86_64-linux" ];
    mainProgram = "cvmspawn";
  };
}
