"""Topology presets."""

from __future__ import annotations

import pytest

from webhook.policy import PREFIX, Policy, resolve
from webhook.policy.topology_presets import HOSTNAME, PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_preset_begins_with_the_node(name: str) -> None:
    """A preset begins with the node and has at most three keys, with weights 100, 30 and 10."""
    policy = resolve({f"{PREFIX}topology": name})
    weights = [level.weight for level in policy.topology]
    assert policy.problems == ()
    assert tuple(level.key for level in policy.topology) == tuple(PRESETS[name])
    assert policy.topology[0].key == HOSTNAME
    assert weights == [100, 30, 10][: len(weights)]


def test_platforms_have_a_preset() -> None:
    """Each platform with topology labels has a preset."""
    assert set(PRESETS) == {"gke", "eks", "oke", "coreweave", "topograph", "nvlink"}


@pytest.mark.parametrize("text", ["GKE", "aks", "None", "NONE", "non", "gke,eks", "gke=50", "rack, Nvlink=3", "g k e"])
def test_misspelled_preset_is_a_problem(text: str) -> None:
    """A misspelled preset or `none`, or one in a list of keys, is a problem that lists the presets."""
    policy = resolve({f"{PREFIX}topology": text})
    (problem,) = policy.problems
    assert all(name in problem.text for name in ("none", *PRESETS))
    assert policy.topology == Policy().topology


@pytest.mark.parametrize("key", ["rack", "zone", "node", "block", "spine", "core", "host", "example.com/gke"])
def test_other_key_is_accepted(key: str) -> None:
    """A key that resembles no preset is accepted without a domain; a key with a domain is always accepted."""
    policy = resolve({f"{PREFIX}topology": key})
    assert policy.problems == ()
    assert [level.key for level in policy.topology] == [key]


def test_default_is_portable() -> None:
    """The default topology is node and zone, whose labels Kubernetes and all cloud providers set."""
    assert [level.key for level in Policy().topology] == [HOSTNAME, "topology.kubernetes.io/zone"]
