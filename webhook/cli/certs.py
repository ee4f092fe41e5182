"""The command `dask-colocate certs`: show, check and issue TLS certificates."""

import logging
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from certs.rotation.clock import Clock, system_clock
from certs.rotation.files import CertificateDirectory
from certs.rotation.ports import BackendError
from certs.x509.describe import Inspection, description, problem_lines
from certs.x509.issue import Entropy
from certs.x509.plan import CertificateSpec, Part, RenewalInputs, due_renewal, forced_renewal, renew
from webhook.cli.options import CertificateLocation
from webhook.kube.api import Api, ApiError
from webhook.kube.certificates import TLSSecretStore, WebhookBundlePublisher
from webhook.kube.kubeconfig import load_client
from webhook.policy.defaults import SettingsError
from webhook.policy.errors import InputError

app = App(name="certs", version=lambda: version("dask-colocate"))
Directory = Annotated[Path | None, Parameter(help="Directory with tls.crt, tls.key and ca.crt.")]
Location = Annotated[CertificateLocation | None, Parameter(name="*")]
_NAME_HELP = "DNS name or IP address of the server. Can be repeated."
Names = Annotated[tuple[str, ...], Parameter(name="--name", negative="", show_default=False, help=_NAME_HELP)]
ForcedPart = Annotated[Literal["leaf", "authority"] | None, Parameter(help="Renew this part even if it is not due.")]
_ONE_LOCATION = "give one location: a directory, --secret NAMESPACE/NAME or (show and check only) --server HOST:PORT"


@app.command
def show(directory: Directory = None, *, location: Location = None) -> int:
    """Show the certificate, its issuer, its lifetime, and whether the published caBundle trusts it.

    For example,

    `dask-colocate certs show /etc/tls`

    `dask-colocate certs show --secret apps/webhook-tls --configuration webhook`

    `dask-colocate certs show --server 127.0.0.1:8443`
    """
    with _input_errors():
        sys.stdout.write(description(*_inspect(directory, location or CertificateLocation())))
    return 0


@app.command
def check(directory: Directory = None, *, location: Location = None, names: Names = ()) -> int:
    """List all problems of the certificate. Exit status 1 if there is any.

    Codes: unreadable, key-mismatch, expired, not-yet-valid, wrong-name, not-for-servers, not-signed-by-bundle,
    expiring (two thirds of the lifetime have passed), weak, not-trusted-by-webhook.

    For example,

    `dask-colocate certs check /etc/tls --name webhook.apps.svc`
    """
    with _input_errors():
        inspection, at = _inspect(directory, location or CertificateLocation())
        lines = problem_lines(inspection, names, at)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "no problems\n")
    return 1 if lines else 0


@app.command
def issue(
    directory: Directory = None,
    *,
    location: Location = None,
    names: Names,
    force: ForcedPart = None,
) -> int:
    """Issue new certificates, or renew those that are due.

    In a directory: an authority (`ca.crt`, `ca.key`) and a server key pair (`tls.crt`, `tls.key`), all with mode 0600.
    In a Secret: running replicas load the result within seconds and no call fails. The bundle keeps the old authority,
    and each replica serves its old certificate until the new one is trusted.

    For example,

    `dask-colocate certs issue ./tls --name localhost --name 127.0.0.1`

    `dask-colocate certs issue --secret apps/webhook-tls --name webhook.apps.svc --force authority`
    """
    with _input_errors():
        sys.stdout.write(_renew(directory, location or CertificateLocation(), names, force))
    return 0


def _renew(directory: Path | None, location: CertificateLocation, names: tuple[str, ...], force: str | None) -> str:
    store, clock = _store(directory, location)
    spec = CertificateSpec(names=names, authority_name=names[0])
    stored = store.read()
    material, at = stored.material, clock()
    due = forced_renewal(Part(force), material, spec, at) if force else due_renewal(material, spec, at)
    if due is None:
        return "nothing is due; use --force leaf or --force authority to renew now\n"
    trusted = tuple((_published(location) or {}).values())
    inputs = RenewalInputs(at=at, trusted=trusted, entropy=(Entropy.fresh(), Entropy.fresh()))
    store.write(renew(material, due.part, spec, inputs), stored.version)
    return f"renewed the {due.part}: {'; '.join(due.reasons)}\n"


def _inspect(directory: Path | None, location: CertificateLocation) -> tuple[Inspection, datetime]:
    published = _published(location)
    if location.server is not None:
        if directory is not None or location.secret is not None:
            raise SettingsError(_ONE_LOCATION)
        return Inspection(certificate=_served_certificate(location.server), published=published), system_clock()
    store, clock = _store(directory, location)
    material = store.read().material
    leaf, bundle = material.leaf, material.bundle or None
    return Inspection(certificate=leaf.certificate, key=leaf.key, bundle=bundle, published=published), clock()


def _store(
    directory: Path | None, location: CertificateLocation
) -> tuple[CertificateDirectory | TLSSecretStore, Clock]:
    if (directory is None) == (location.secret is None) or location.server:
        raise SettingsError(_ONE_LOCATION)
    if directory is not None:
        return CertificateDirectory(directory), system_clock
    namespace, slash, name = (location.secret or "").partition("/")
    if not slash:
        raise SettingsError(f"--secret {location.secret}: expected NAMESPACE/NAME")
    api = _connect(location)
    return TLSSecretStore(api, namespace, name), api.now


def _published(location: CertificateLocation) -> dict[str, bytes] | None:
    if location.configuration is None:
        return None
    published = WebhookBundlePublisher(_connect(location), location.configuration).read()
    return dict(zip(published.webhooks, published.bundles, strict=True))


def _connect(location: CertificateLocation) -> Api:
    return Api(load_client(location.kubeconfig, location.context))


def _served_certificate(server: str) -> bytes:
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        raise SettingsError(f"--server {server}: expected HOST:PORT")
    return ssl.get_server_certificate((host, int(port)), timeout=5).encode()


@contextmanager
def _input_errors() -> Iterator[None]:
    logging.basicConfig(handlers=[logging.NullHandler()])  # print the final error only, not each attempt
    try:
        yield
    except InputError:
        raise
    except (BackendError, ApiError, OSError, ValueError) as error:
        raise InputError(str(error)) from None
