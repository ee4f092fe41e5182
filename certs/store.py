"""Where certificates are kept: a Secret that replicas share, or files."""

import os
import tempfile
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from certs.check import certificates
from certs.issue import Pair
from certs.kube import Api, Json, Resource, local_time
from certs.plan import Material

_TORN_READS = 3
"""A read that a change fell into is repeated; changes come days apart, so one repetition is one too many."""


@dataclass(frozen=True)
class Stored:
    """What a Secret holds, and the version to name when changing it; no version when there is no Secret."""

    material: Material
    version: str | None


class SecretStore:
    """One Secret of type ``kubernetes.io/tls``: ``tls.crt``, ``tls.key``, ``ca.crt`` and ``ca.key``.

    The names of ``tls.*`` are the API's, ``ca.crt`` is cert-manager's custom for the bundle; ``ca.key`` is
    what lets any replica renew. Every change names the version it read, so of two replicas that renew at
    once one gets a conflict and reads again.
    """

    def __init__(self, api: Api, namespace: str, name: str) -> None:
        """Name the Secret; it need not exist."""
        self._api = api
        self.resource = Resource(group="", plural="secrets", name=name, namespace=namespace)

    def read(self) -> Stored:
        """What is there now; garbage is read as missing parts.

        Raises:
            ApiError: it can't be read.
        """
        found = self._api.get(self.resource)
        return Stored(Material(), None) if found is None else _stored(found)

    def write(self, material: Material, version: str | None) -> Stored:
        """Create the Secret (no version) or change its data (the version that was read), keeping all else.

        Raises:
            ConflictError: somebody else was first; nothing was written.
            ApiError: it can't be written.
        """
        data = {key: b64encode(value).decode() for key, value in _data(material).items()}
        if version is None:
            return _stored(self._api.create(self.resource, self._manifest(data)))
        body: Json = {"metadata": {"resourceVersion": version}, "data": data}
        return _stored(self._api.patch(self.resource, body, "application/merge-patch+json"))

    def now(self) -> datetime:
        """The instant by the clock of the Secret's API server, once it was read."""
        return self._api.now()

    def _manifest(self, data: Mapping[str, str]) -> Json:
        metadata = {"name": self.resource.name, "namespace": self.resource.namespace}
        return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}


@dataclass(frozen=True, kw_only=True)
class Files:
    """A pair in two files and, if known, the bundle that clients trust; written by others."""

    certificate: Path
    key: Path
    bundle: Path | None = None

    def read(self) -> tuple[Pair, bytes | None]:
        """The pair and the bundle as they are now, from one version of the files.

        A mounted Secret changes by the swap of a symbolic link. A certificate that is the same before and
        after its key was read says that the swap did not fall in between.

        Raises:
            OSError: a file is missing or can't be read.
        """
        certificate = self.certificate.read_bytes()
        for _ in range(_TORN_READS):
            before, key = certificate, self.key.read_bytes()
            authorities = self.bundle.read_bytes() if self.bundle and self.bundle.exists() else None
            certificate = self.certificate.read_bytes()
            if certificate == before:
                break
        return Pair(certificate=certificate, key=key), authorities


@dataclass(frozen=True)
class Directory:
    """A folder with the files of a Secret by the same names, for machines without a cluster."""

    path: Path

    def read(self) -> Stored:
        """What is there now; missing files are missing parts."""
        files = {name: self.path / name for name in _data(Material())}
        return Stored(material({name: file.read_bytes() for name, file in files.items() if file.exists()}), None)

    def write(self, material: Material, version: str | None = None) -> Stored:
        """Replace the files: the key before its certificate. Folders keep no versions, so it is ignored."""
        data = _data(material)
        for name in sorted(data, reverse=True):
            write_private(self.path / name, data[name])
        return Stored(material, version)

    def now(self) -> datetime:
        """The instant by this machine's clock."""
        return local_time()


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically; it has mode 0600 from its first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # created 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _stored(secret: Json) -> Stored:
    data = {key: b64decode(value) for key, value in (secret.get("data") or {}).items()}
    return Stored(material(data), secret["metadata"]["resourceVersion"])


def material(data: Mapping[str, bytes]) -> Material:
    """Read the data of a Secret; the authority is the certificate of the bundle that ``ca.key`` belongs to."""
    key, bundle = data.get("ca.key", b""), data.get("ca.crt", b"")
    return Material(
        leaf=Pair(certificate=data.get("tls.crt", b""), key=data.get("tls.key", b"")),
        authority=Pair(certificate=_owned(key, bundle), key=key),
        bundle=bundle,
    )


def _owned(key: bytes, bundle: bytes) -> bytes:
    try:
        public = load_pem_private_key(key, password=None).public_key()
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return b""
    owned = [one for one in certificates(bundle) if one.public_key() == public]
    return owned[0].public_bytes(Encoding.PEM) if owned else b""


def _data(material: Material) -> dict[str, bytes]:
    return {
        "tls.crt": material.leaf.certificate,
        "tls.key": material.leaf.key,
        "ca.crt": material.bundle,
        "ca.key": material.authority.key,
    }
