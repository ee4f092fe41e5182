from __future__ import annotations

import pytest

from webhook.policy import PREFIX, Policy, resolve
from webhook.policy.topology_presets import HOSTNAME, PRESETS


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_preset_falls_from_the_node(name: str) -> None:
    """A preset begins with the node, names at most three labels, and its weights fall within 1-100."""
    policy = resolve({f"{PREFIX}topology": name})
    weights = [level.weight for level in policy.topology]
    assert policy.problems == ()
    assert tuple(level.key for level in policy.topology) == tuple(PRESETS[name])
    assert policy.topology[0].key == HOSTNAME
    assert weights == [100, 30, 10][: len(weights)]


def test_platforms_have_a_preset() -> None:
    """The platforms whose nodes say where they stand can be named."""
    assert set(PRESETS) == {"gke", "eks", "oke", "coreweave", "topograph", "nvlink"}


@pytest.mark.parametrize("text", ["GKE", "aks", "None", "NONE", "non", "gke,eks", "gke=50", "rack, Nvlink=3", "g k e"])
def test_misspelt_preset_is_told_with_the_known_ones(text: str) -> None:
    """A word that is nearly a preset or `none`, or is one among keys, is no key: the problem names the presets."""
    policy = resolve({f"{PREFIX}topology": text})
    (problem,) = policy.problems
    assert all(name in problem.text for name in ("none", *PRESETS))
    assert policy.topology == Policy().topology


@pytest.mark.parametrize("key", ["rack", "zone", "node", "block", "spine", "core", "host", "example.com/gke"])
def test_key_that_is_near_no_preset_is_taken(key: str) -> None:
    """A label without a domain is a level like any other, and what has a domain is never taken for a preset."""
    policy = resolve({f"{PREFIX}topology": key})
    assert policy.problems == ()
    assert [level.key for level in policy.topology] == [key]


def test_default_is_portable() -> None:
    """As shipped, node and zone are named: the labels that Kubernetes and every cloud's controller set."""
    assert [level.key for level in Policy().topology] == [HOSTNAME, "topology.kubernetes.io/zone"]
