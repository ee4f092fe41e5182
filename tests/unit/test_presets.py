from __future__ import annotations

import pytest

from webhook.policy import PREFIX, Policy, resolve
from webhook.presets import HOSTNAME, PRESETS


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


def test_unknown_preset_is_told_with_the_known_ones() -> None:
    """A name that looks like a preset, and is none, is a label key; one that cannot be a key names the presets."""
    (problem,) = resolve({f"{PREFIX}topology": "g k e"}).problems
    assert all(name in problem.text for name in PRESETS)


def test_default_is_portable() -> None:
    """As shipped, node and zone are named: the labels that Kubernetes and every cloud's controller set."""
    assert [level.key for level in Policy().topology] == [HOSTNAME, "topology.kubernetes.io/zone"]
