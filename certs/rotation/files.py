"""Certificate files: mounted ones to read, and a directory to read and write."""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from certs.rotation.ports import StoredMaterial
from certs.x509.issue import KeyPair
from certs.x509.material import Material, material_from_data, material_to_data

_READ_ATTEMPTS = 3
"""Attempts to read one version of the files. Changes are days apart, so the second attempt succeeds."""


@dataclass(frozen=True, kw_only=True)
class MountedFiles:
    """Key pair in two files and an optional CA bundle, which another program writes."""

    certificate: Path
    key: Path
    bundle: Path | None = None

    def read(self) -> tuple[KeyPair, bytes | None]:
        """Read the key pair and the bundle from one version of the files.

        The kubelet updates a mounted Secret by replacing a symbolic link. If the certificate is the same before and
        after the other files are read, all files are of one version.

        Raises:
            OSError: A file is missing or not readable.
        """
        certificate = self.certificate.read_bytes()
        for _ in range(_READ_ATTEMPTS):
            previous, key = certificate, self.key.read_bytes()
            bundle = self.bundle.read_bytes() if self.bundle and self.bundle.exists() else None
            certificate = self.certificate.read_bytes()
            if certificate == previous:
                break
        return KeyPair(certificate=certificate, key=key), bundle


@dataclass(frozen=True)
class CertificateDirectory:
    """Directory with the files of a TLS Secret, for machines without a cluster."""

    path: Path

    def read(self) -> StoredMaterial:
        """Read the files. Missing files are missing parts."""
        files = {name: self.path / name for name in material_to_data(Material())}
        data = {name: file.read_bytes() for name, file in files.items() if file.exists()}
        return StoredMaterial(material_from_data(data), None)

    def write(self, material: Material, version: str | None = None) -> StoredMaterial:
        """Replace the files, the key before its certificate. A directory has no versions; `version` is ignored."""
        data = material_to_data(material)
        for name in sorted(data, reverse=True):
            write_private_file(self.path / name, data[name])
        return StoredMaterial(material, version)


def write_private_file(path: Path, content: bytes) -> None:
    """Replace a file atomically. The new file has mode 0600 from the start."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
