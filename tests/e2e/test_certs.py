"""Certificate rotation with a real API server that calls the replicas. The tests print how long each step takes.

The replicas are processes with the permissions of a service account; see `certs.install`.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import pytest

from certs.rotation.clock import system_clock
from certs.x509.issue import Entropy, issue_authority, issue_leaf
from certs.x509.material import Material, material_to_data
from certs.x509.plan import CertificateSpec, Part, RenewalInputs, renew
from tests.e2e.certs.install import ADDRESS, SECRET, Installation, Permissions
from tests.e2e.certs.load import Load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import NamespaceFactory

SPEC = CertificateSpec(names=(ADDRESS,))
CHART = Permissions(create_secret=False)
"""Permissions of the chart: it creates the Secret, so the replicas may not create one."""


class Note(Protocol):
    """Prints and records a duration."""

    def __call__(self, what: str, seconds: float) -> None:
        """Record a duration."""


@pytest.fixture
def note(capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]) -> Note:
    """Record durations on the terminal and in a JUnit report."""

    def record(what: str, seconds: float) -> None:
        record_property(what, f"{seconds:.2f}")
        with capsys.disabled():
            sys.stdout.write(f"\n  {what}: {seconds:.2f} s")

    return record


@pytest.fixture
def installation(bed: Bed, make_namespace: NamespaceFactory) -> Iterator[Installation]:
    """Create a webhook configuration without caBundle, and delete it after the test."""
    installation = Installation(bed=bed, namespace=make_namespace())
    installation.configure()
    yield installation
    installation.remove()


@pytest.fixture(scope="module")
def fleet(bed: Bed) -> Iterator[Installation]:
    """Start five replicas at the same time without a Secret."""
    installation = Installation(bed=bed, namespace=bed.create_namespace())
    installation.configure()
    kubeconfig = installation.kubeconfig(Permissions())
    for _ in range(5):
        installation.start(kubeconfig)
    installation.wait(installation.converged, "five replicas converge", 40)
    yield installation
    installation.remove()
    bed.delete_namespace(installation.namespace)


def force(installation: Installation, part: str) -> None:
    """Renew a part by `dask-colocate certs issue`."""
    location = ["--secret", f"{installation.namespace}/{SECRET}", "--configuration", installation.name]
    cluster = ["--kubeconfig", str(installation.bed.plane.kubeconfig)]
    argv = [sys.executable, "-m", "webhook", "certs", "issue", *location, *cluster, "--name", ADDRESS, "--force", part]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == f"renewed the {part}: requested\n"


def create_secret(installation: Installation, material: Material | None = None) -> None:
    """Create the Secret: empty as in the chart, or with material."""
    body: dict[str, object] = {"metadata": {"name": SECRET}, "type": "Opaque"}
    installation.bed.api.create(f"/api/v1/namespaces/{installation.namespace}/secrets", body)
    if material is not None:
        installation.put(material_to_data(material))


def working(installation: Installation) -> Callable[[], bool]:
    """Return a condition: all certificates are valid and calls succeed."""
    return lambda: installation.valid() and not installation.call_error()


# ---- installation -----------------------------------------------------------------------------------


def test_first_install_takes_under_five_seconds(installation: Installation, note: Note) -> None:
    """Without a Secret: it takes less than 5 s from the start of the process to a successful call."""
    replica = installation.start(installation.kubeconfig(Permissions()))
    took = installation.wait(working(installation), "the first install")
    note("first install, from the start of the process to a call that succeeds", took)
    assert took < 5
    assert installation.bed.api.get(installation.secret)["type"] == "kubernetes.io/tls"
    installation.wait(lambda: replica.ready, "readiness", 2)


def test_installation_with_the_secret_of_the_chart(installation: Installation, note: Note) -> None:
    """An empty Secret of type Opaque is filled without permission to create Secrets, and keeps its type."""
    create_secret(installation)
    installation.start(installation.kubeconfig(CHART))
    note("install into an empty Secret", installation.wait(working(installation), "the install"))
    assert installation.bed.api.get(installation.secret)["type"] == "Opaque"


def test_five_replicas_use_one_authority(fleet: Installation) -> None:
    """If five replicas start at the same time, one issues the certificates and all serve its leaf."""
    assert fleet.converged()
    assert len(fleet.material().bundle.split(b"BEGIN CERTIFICATE")) == 2
    assert fleet.bundle() == fleet.material().bundle
    assert sum(replica.count("certs_rotations_total") for replica in fleet.replicas) == 1


# ---- rotation ---------------------------------------------------------------------------------------


def test_rotation_under_load_fails_no_call(fleet: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    """The leaf and the authority are renewed during 20 s of up to 200 calls per second: no call fails."""
    before, load = fleet.material(), Load(installation=fleet)
    load.start()
    time.sleep(2)
    force(fleet, "leaf")
    leaf_seconds = fleet.wait(fleet.converged, "the new leaf is served")
    middle = fleet.material()
    force(fleet, "authority")
    authority_seconds = fleet.wait(fleet.converged, "the new authority's leaf is served")
    seconds = load.finish()
    rate = (load.through + load.direct) / seconds
    with capsys.disabled():
        sys.stdout.write(
            f"\n  {load.through} calls through the API server and {load.direct} directly in {seconds:.1f} s "
            f"({rate:.0f}/s), {len(load.failures)} failed; all replicas serve the new leaf after {leaf_seconds:.1f} s, "
            f"the new authority's after {authority_seconds:.1f} s"
        )
    assert load.failures == []
    assert rate > 20  # with fewer calls the test shows nothing; the target is 200
    assert middle.authority == before.authority
    assert middle.leaf != before.leaf
    after = fleet.material()
    assert after.authority != before.authority
    assert before.authority.certificate in fleet.bundle()  # until no replica can serve its leaf


# ---- repair -----------------------------------------------------------------------------------------


def delete_secret(fleet: Installation) -> None:
    """Delete the Secret."""
    fleet.bed.api.delete(fleet.secret)


def fill_with_garbage(fleet: Installation) -> None:
    """Write invalid data into every key of the Secret."""
    fleet.put(dict.fromkeys(("tls.crt", "tls.key", "ca.crt", "ca.key"), b"\xff garbage"))


def swap_key_and_certificate(fleet: Installation) -> None:
    """Store the key as the certificate and the certificate as the key."""
    leaf = fleet.material().leaf
    fleet.put({"tls.crt": leaf.key, "tls.key": leaf.certificate})


@pytest.mark.parametrize("damage", [delete_secret, fill_with_garbage, swap_key_and_certificate])
def test_damaged_secret_is_repaired(fleet: Installation, note: Note, damage: Callable[[Installation], None]) -> None:
    """A damaged Secret is repaired within seconds, and no call fails meanwhile."""
    fleet.material()
    failures: list[str] = []

    def repaired() -> bool:
        failures.extend(filter(None, [fleet.call_error()]))
        return fleet.valid()

    damage(fleet)
    note(f"repaired: {damage.__name__}", fleet.wait(repaired, damage.__name__, 10))
    fleet.wait(lambda: repaired() and fleet.converged(), "all replicas serve the stored leaf", 10)
    assert failures == []


def empty_ca_bundle(fleet: Installation) -> None:
    """Write an empty caBundle."""
    fleet.publish(b"")


def recreate_configuration(fleet: Installation) -> None:
    """Delete the configuration and create it again."""
    fleet.bed.api.delete(fleet.configuration)
    fleet.configure()


@pytest.mark.parametrize("damage", [empty_ca_bundle, recreate_configuration])
def test_lost_ca_bundle_is_published_again(
    fleet: Installation, note: Note, damage: Callable[[Installation], None]
) -> None:
    """A lost caBundle is published again within seconds, without a renewal."""
    material = fleet.material()
    damage(fleet)
    note(f"repaired: {damage.__name__}", fleet.wait(working(fleet), damage.__name__, 10))
    fleet.wait(fleet.converged, "all are ready again", 10)
    assert fleet.material() == material


def test_expired_leaf_is_renewed_at_start(installation: Installation, note: Note) -> None:
    """The first replica renews a leaf that expired while no replica ran; the authority stays."""
    at = system_clock() - timedelta(days=100)
    inputs = RenewalInputs(at=at, entropy=(Entropy.fresh(), Entropy.fresh()))
    material = renew(Material(), Part.AUTHORITY, SPEC, inputs)
    create_secret(installation, material)
    installation.publish(material.bundle)
    installation.start(installation.kubeconfig(CHART))
    note("repaired: expired leaf, from the start of the process", installation.wait(working(installation), "the leaf"))
    assert installation.material().authority == material.authority


def test_clock_ten_minutes_behind(installation: Installation, note: Note) -> None:
    """A replica with a late clock issues certificates that others accept, and does not renew those of others."""
    kubeconfig = installation.kubeconfig(Permissions())
    late = installation.start(kubeconfig, clock=-600)
    note("installed with a clock 10 minutes behind", installation.wait(working(installation), "the install"))
    installation.start(kubeconfig)
    force(installation, "authority")  # not yet valid by the late clock
    again = installation.start(kubeconfig, clock=-600)
    note("two late replicas follow a new authority", installation.wait(installation.converged, "all replicas converge"))
    assert not installation.call_error()
    assert late.count("certs_rotations_total") == 1
    assert again.count("certs_rotations_total") == 0
    assert re.search(
        r"clock of the API server is (599|600) s ahead", late.process.log.read_text()
    )  # `Date` has whole seconds


def test_show_compares_the_published_bundle(fleet: Installation) -> None:
    """`dask-colocate certs show` prints the lifetime and that the published caBundle trusts the certificate."""
    location = ["--secret", f"{fleet.namespace}/{SECRET}", "--configuration", fleet.name]
    argv = [
        sys.executable,
        "-m",
        "webhook",
        "certs",
        "show",
        *location,
        "--kubeconfig",
        str(fleet.bed.plane.kubeconfig),
    ]
    shown = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert "configmaps.certs.test  trusts the certificate, same as the bundle" in shown
    assert "89 days left" in shown


# ---- permissions, modes, keys -----------------------------------------------------------------------


def test_without_permission_to_patch_the_configuration(installation: Installation) -> None:
    """The log contains the missing rule; the pair is served, and ready once an administrator publishes the bundle."""
    replica = installation.start(installation.kubeconfig(Permissions(configuration=("get", "watch"))))
    message = (
        f'missing permission: patch mutatingwebhookconfigurations.admissionregistration.k8s.io "{installation.name}". '
        "A ClusterRole needs the rule {apiGroups: [admissionregistration.k8s.io], resources: "
        f"[mutatingwebhookconfigurations], resourceNames: [{installation.name}], verbs: [patch]}}"
    )
    installation.wait(lambda: replica.count("certs_failures_total") > 0, "the failure is counted")
    assert replica.process.log.read_text().count(json.dumps(message)[1:-1]) == 1
    assert replica.served == installation.material().leaf.certificate
    assert replica.get("/readyz") == (503, '["the CA bundle is empty or not readable as PEM"]')
    installation.publish(installation.material().bundle)
    installation.wait(
        lambda: replica.ready and not installation.call_error(), "an administrator publishes the bundle", 5
    )


def test_injected_mode(installation: Installation, tmp_path: Path) -> None:
    """With files and a bundle from cert-manager, a replica is ready when the bundle trusts the certificate."""
    first, second = _material(), _material()
    files = _mount(tmp_path, first)
    replica = installation.start(
        installation.kubeconfig(Permissions(configuration=("get", "watch"))), mode="injected", **files
    )
    installation.wait(lambda: replica.get("/readyz")[0] == 503, "the replica waits for the bundle")
    installation.publish(first.bundle)
    installation.wait(lambda: replica.ready and not installation.call_error(), "the bundle trusts the certificate", 5)
    _mount(tmp_path, second)
    time.sleep(1.5)  # longer than the interval between two reads of the files
    assert replica.served == first.leaf.certificate
    installation.publish(second.bundle)
    installation.wait(lambda: replica.served == second.leaf.certificate and replica.ready, "the second pair", 5)
    assert not installation.call_error()


def test_private_keys_are_in_no_log_error_or_metric(fleet: Installation) -> None:
    """After all rotations and repairs, no line of a stored key is written, in PEM or base64."""
    output = "".join(
        replica.process.log.read_text(errors="replace") + replica.get("/metrics")[1] + replica.get("/readyz")[1]
        for replica in fleet.replicas
    )
    assert "renewed the authority" in output
    fleet.material()
    assert len(fleet.keys) >= 2
    for key in fleet.keys:
        lines = [line for line in key.decode().splitlines() if "PRIVATE" not in line]
        assert not any(line in output for line in lines)
        assert base64.b64encode(key).decode()[100:160] not in output


def _material() -> Material:
    now = system_clock()
    authority = issue_authority("other", now=now, entropy=Entropy.fresh())
    leaf = issue_leaf(authority, [ADDRESS], now=now, entropy=Entropy.fresh())
    return Material(leaf=leaf, authority=authority, bundle=authority.certificate)


def _mount(directory: Path, material: Material) -> dict[str, Path]:
    """Mount a pair as the kubelet does. Return the options with its files."""
    version = directory / f"..{len(list(directory.iterdir()))}"
    version.mkdir()
    (version / "tls.crt").write_bytes(material.leaf.certificate)
    (version / "tls.key").write_bytes(material.leaf.key)
    (directory / "..tmp").symlink_to(version.name)
    (directory / "..tmp").replace(directory / "..data")
    data = directory / "..data"
    return {"tls_cert": data / "tls.crt", "tls_key": data / "tls.key"}
