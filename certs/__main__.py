"""For people: look at certificates, say what is wrong with them, make and renew them."""

import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from certs.describe import Findings, description, problem_lines
from certs.issue import Entropy
from certs.kube import ApiError, connect, local_time
from certs.plan import Part, Renewal, Subject, due, forced, renew
from certs.store import Directory, SecretStore
from certs.trust import Configuration

app = App(
    name="certs",
    help="""The TLS certificates of a webhook: look at them, check them, make them.

    A running server needs none of this: it renews its certificates by itself. Use it to see what is there,
    to find out why the API server refuses a certificate, or to renew at once, such as after a leak.

    Certificates are found in one of three places: a folder with `tls.crt`, `tls.key` and `ca.crt` (what a
    mounted Secret looks like), a Secret of a cluster (`--secret`), or a server that answers (`--server`).
    """,
    help_format="markdown",
    version_flags=[],
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look.

    Attributes:
        secret: NAMESPACE/NAME of a Secret in a cluster.
        configuration: Name of the MutatingWebhookConfiguration whose caBundle the certificate has to satisfy.
        server: HOST:PORT that serves a certificate; its key and its bundle can't be known.
        kubeconfig: Cluster to ask; without it, `KUBECONFIG`, `~/.kube/config` or the Pod's own.
        context: Context of the kubeconfig.
    """

    secret: str | None = None
    configuration: str | None = None
    server: str | None = None
    kubeconfig: Path | None = None
    context: str | None = None


Folder = Annotated[Path | None, Parameter(help="Folder with tls.crt, tls.key and ca.crt.")]
Where = Annotated[Place, Parameter(name="*")]
HERE = Place()
ONE_PLACE = "name one place: a folder, --secret NAMESPACE/NAME or, to look only, --server HOST:PORT"


class UsageError(Exception):
    """What was asked can't be done; the text says what to write instead."""


@app.command
def show(folder: Folder = None, *, place: Where = HERE) -> int:
    """Say what is served, who signed it, how long it lasts, and whether caBundle matches.

    Such as

    `python -m certs show /etc/tls`

    `python -m certs show --secret apps/webhook-tls --configuration webhook`

    `python -m certs show --server 127.0.0.1:8443`
    """
    found, at = _found(folder, place)
    sys.stdout.write(description(found, at))
    return 0


@app.command
def check(
    folder: Folder = None,
    *,
    place: Where = HERE,
    name: Annotated[tuple[str, ...], Parameter(help="DNS name or IP address that clients ask for.")] = (),
) -> int:
    """List every problem; exit with 1 when there is one.

    Codes: unreadable, key-mismatch, expired, not-yet-valid, wrong-name, not-for-servers,
    not-signed-by-bundle, expiring (two thirds of its life are over), weak, not-trusted-in-force.

    Such as

    `python -m certs check /etc/tls --name webhook.apps.svc`
    """
    found, at = _found(folder, place)
    lines = problem_lines(found, name, at)
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "no problems\n")
    return 1 if lines else 0


@app.command
def issue(
    folder: Folder = None,
    *,
    place: Where = HERE,
    name: Annotated[tuple[str, ...], Parameter(help="DNS name or IP address of the server; repeat it.")],
    force: Annotated[
        Literal["leaf", "authority"] | None, Parameter(help="Renew this part though it is not due.")
    ] = None,
) -> int:
    """Make certificates, or renew what is due of those that are there.

    Into a folder: an authority (`ca.crt`, `ca.key`) and a server's pair (`tls.crt`, `tls.key`), mode 0600.
    Into a Secret: running replicas follow within seconds and no call fails, because the bundle keeps the
    old authority and each replica keeps its leaf until the new one is trusted.

    Such as

    `python -m certs issue ./tls --name localhost --name 127.0.0.1`

    `python -m certs issue --secret apps/webhook-tls --name webhook.apps.svc --force authority`
    """
    store, subject = _store(folder, place), Subject(names=name, authority=name[0])
    stored = store.read()
    held, at = stored.material, store.now()
    needed = forced(Part(force), held, subject, at) if force else due(held, subject, at)
    if needed is None:
        sys.stdout.write("nothing is due; --force leaf or --force authority renews it nevertheless\n")
        return 0
    trusted = tuple((_in_force(place) or {}).values())
    renewal = Renewal(at=at, trusted=trusted, entropy=(Entropy.fresh(), Entropy.fresh()))
    store.write(renew(held, needed.part, subject, renewal), stored.version)
    sys.stdout.write(f"renewed the {needed.part}: {'; '.join(needed.reasons)}\n")
    return 0


def _store(folder: Path | None, place: Place) -> Directory | SecretStore:
    if (folder is None) == (place.secret is None) or place.server:
        raise UsageError(ONE_PLACE)
    if folder is not None:
        return Directory(folder)
    namespace, slash, name = (place.secret or "").partition("/")
    if not slash:
        raise UsageError(f"--secret {place.secret}: expected NAMESPACE/NAME")
    return SecretStore(connect(place.kubeconfig, place.context), namespace, name)


def _found(folder: Path | None, place: Place) -> tuple[Findings, datetime]:
    in_force = _in_force(place)
    if place.server is not None:
        if folder is not None or place.secret is not None:
            raise UsageError(ONE_PLACE)
        return Findings(certificate=_served(place.server), in_force=in_force), local_time()
    store = _store(folder, place)
    held = store.read().material
    leaf, bundle = held.leaf, held.bundle or None
    found = Findings(certificate=leaf.certificate, key=leaf.key, bundle=bundle, in_force=in_force)
    return found, store.now()


def _in_force(place: Place) -> dict[str, bytes] | None:
    if place.configuration is None:
        return None
    trust = Configuration(connect(place.kubeconfig, place.context), place.configuration).read()
    return dict(zip(trust.names, trust.bundles, strict=True))


def _served(server: str) -> bytes:
    host, colon, port = server.rpartition(":")
    if not colon or not port.isdigit():
        raise UsageError(f"--server {server}: expected HOST:PORT")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # to look at it, whatever it is
    with socket.create_connection((host, int(port)), timeout=5) as raw, context.wrap_socket(raw) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"").encode()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; what people got wrong, or a cluster refused, is one line and exit status 2.

    Args:
        arguments: the command and its flags; by default the process's own.
    """
    try:
        sys.exit(app(arguments))
    except (UsageError, ApiError, OSError, ValueError) as error:
        sys.stderr.write(f"certs: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
