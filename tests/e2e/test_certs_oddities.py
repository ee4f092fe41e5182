"""Certificates in unusual conditions: late configurations, wrong clocks, external changes, missing permissions."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from certs.rotation.clock import system_clock
from certs.x509.check import parse_certificates
from certs.x509.issue import Entropy, issue_authority, issue_leaf
from tests.e2e.certs.install import ADDRESS, Installation, Permissions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import NamespaceFactory


@pytest.fixture
def bare(bed: Bed, make_namespace: NamespaceFactory) -> Iterator[Installation]:
    """Return an installation without a webhook configuration."""
    installation = Installation(bed=bed, namespace=make_namespace())
    yield installation
    installation.remove()


@pytest.fixture
def installation(bare: Installation) -> Installation:
    """Create a webhook configuration without caBundle."""
    bare.configure()
    return bare


def works(installation: Installation) -> Callable[[], bool]:
    """Return a condition: all certificates are valid, all replicas are ready, and calls succeed."""
    return lambda: installation.valid() and installation.converged() and not installation.call_error()


def test_configuration_created_after_the_server(bare: Installation) -> None:
    """A replica is ready without a configuration; a configuration that is created later gets its caBundle at once."""
    replica = bare.start(bare.kubeconfig(Permissions()))
    bare.wait(lambda: replica.ready, "ready without a configuration")
    bare.configure()
    assert bare.wait(works(bare), "the bundle is published") < 5


@pytest.mark.parametrize("clocks", [(600,), (-600, 600)], ids=["ten minutes ahead", "twenty minutes apart"])
def test_clock_of_the_api_server(installation: Installation, clocks: tuple[float, ...]) -> None:
    """With any clock of the replicas, one certificate is issued and is valid for the API server at once."""
    kubeconfig = installation.kubeconfig(Permissions())
    for clock in clocks:
        installation.start(kubeconfig, clock=clock)
    installation.wait(works(installation), "the install", 40)
    leaf = parse_certificates(installation.material().leaf.certificate)[0]
    assert timedelta(minutes=4) < system_clock() - leaf.not_valid_before_utc < timedelta(minutes=7)
    assert sum(replica.count("certs_rotations_total") for replica in installation.replicas) == 1


def test_external_changes_are_replaced(installation: Installation) -> None:
    """A valid pair of another authority in the Secret, and another authority in caBundle, are replaced."""
    installation.start(installation.kubeconfig(Permissions()))
    installation.wait(works(installation), "the install")
    authority = installation.material().authority
    other = issue_authority("other", now=system_clock(), entropy=Entropy.fresh())
    pair = issue_leaf(other, [ADDRESS], now=system_clock(), entropy=Entropy.fresh())
    installation.put({"tls.crt": pair.certificate, "tls.key": pair.key})
    installation.wait(works(installation), "the Secret is repaired")
    installation.publish(other.certificate)
    installation.wait(works(installation), "the bundle is repaired")
    assert installation.material().authority == authority
    assert installation.bundle() == authority.certificate


def test_without_permission_to_read_the_configuration(installation: Installation) -> None:
    """The log names the missing permission, and readiness depends on the stored bundle alone."""
    replica = installation.start(installation.kubeconfig(Permissions(configuration=("watch",))))
    installation.wait(lambda: replica.ready, "ready with the stored bundle")
    assert "missing permission: get mutatingwebhookconfigurations" in replica.process.log.read_text()
    installation.publish(installation.material().bundle)
    installation.wait(lambda: not installation.call_error(), "an administrator publishes the bundle", 5)


def test_without_permission_to_create_the_secret(installation: Installation) -> None:
    """The log names the missing permission, and a Secret that an administrator creates is filled at once."""
    replica = installation.start(installation.kubeconfig(Permissions(create_secret=False)))
    installation.wait(
        lambda: "missing permission: create secrets" in replica.process.log.read_text(), "the log names the permission"
    )
    path, _, name = installation.secret.rpartition("/")
    installation.bed.api.create(path, {"metadata": {"name": name}})
    assert installation.wait(works(installation), "the Secret is filled") < 10
