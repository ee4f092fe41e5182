"""Certificates where the surroundings are odd: late configurations, clocks apart, foreign hands, missing rights."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from certs import issue
from certs.check import certificates
from certs.issue import Entropy
from certs.kube import local_time
from tests.e2e.certs.install import ADDRESS, Installation, Rights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import NamespaceFactory


@pytest.fixture
def bare(bed: Bed, make_namespace: NamespaceFactory) -> Iterator[Installation]:
    """Nothing at all, not even a webhook configuration."""
    made = Installation(bed=bed, namespace=make_namespace())
    yield made
    made.remove()


@pytest.fixture
def installation(bare: Installation) -> Installation:
    """A webhook configuration with no caBundle, and nothing else."""
    bare.configure()
    return bare


def works(installation: Installation) -> Callable[[], bool]:
    """Whether all is sound, every replica is ready and the API server's call succeeds."""
    return lambda: installation.sound() and installation.agreed() and not installation.called()


def test_the_configuration_may_come_after_the_server(bare: Installation) -> None:
    """A server is ready before anybody calls it; a configuration that comes later gets its bundle at once."""
    replica = bare.start(bare.kubeconfig(Rights()))
    bare.wait(lambda: replica.ready, "ready with no configuration")
    bare.configure()
    assert bare.wait(works(bare), "the bundle is put in force") < 5


@pytest.mark.parametrize("clocks", [(600,), (-600, 600)], ids=["ten minutes ahead", "twenty minutes apart"])
def test_the_api_servers_clock_counts(installation: Installation, clocks: tuple[float, ...]) -> None:
    """Whatever the replicas' clocks say, what is issued is valid for the API server at once, and issued once."""
    kubeconfig = installation.kubeconfig(Rights())
    for clock in clocks:
        installation.start(kubeconfig, clock=clock)
    installation.wait(works(installation), "the install", 40)
    begins: datetime = certificates(installation.held().leaf.certificate)[0].not_valid_before_utc
    assert timedelta(minutes=4) < local_time() - begins < timedelta(minutes=7)
    assert sum(one.count("certs_rotations_total") for one in installation.replicas) == 1


def test_what_others_put_there_heals(installation: Installation) -> None:
    """A sound pair of another authority in the Secret, and another authority in caBundle, are replaced."""
    installation.start(installation.kubeconfig(Rights()))
    installation.wait(works(installation), "the install")
    authority = installation.held().authority
    other = issue.authority("other", now=local_time(), entropy=Entropy.fresh())
    pair = issue.leaf(other, [ADDRESS], now=local_time(), entropy=Entropy.fresh())
    installation.put({"tls.crt": pair.certificate, "tls.key": pair.key})
    installation.wait(works(installation), "the Secret heals")
    installation.inject(other.certificate)
    installation.wait(works(installation), "the bundle heals")
    assert installation.held().authority == authority
    assert installation.bundle() == authority.certificate


def test_without_the_right_to_read_caBundle_it_is_ready_by_its_own(installation: Installation) -> None:  # noqa: N802 - the field's name
    """The missing right is named; readiness goes by the Secret alone."""
    replica = installation.start(installation.kubeconfig(Rights(configuration=("watch",))))
    installation.wait(lambda: replica.ready, "ready by its own bundle")
    assert "missing right: get mutatingwebhookconfigurations" in replica.process.log.read_text()
    installation.inject(installation.held().bundle)
    installation.wait(lambda: not installation.called(), "somebody else injected it", 5)


def test_without_the_right_to_create_the_secret_it_waits_for_it(installation: Installation) -> None:
    """The missing right is named; a Secret that somebody else makes is filled as soon as it is seen."""
    replica = installation.start(installation.kubeconfig(Rights(creates=False)))
    installation.wait(lambda: "missing right: create secrets" in replica.process.log.read_text(), "it says so")
    path, _, name = installation.secret.rpartition("/")
    installation.bed.api.create(path, {"metadata": {"name": name}})
    assert installation.wait(works(installation), "the Secret is filled") < 10
