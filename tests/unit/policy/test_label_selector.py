"""Label selectors in the annotation `gpu-workers`."""

from __future__ import annotations

import pytest

from webhook.policy import GpuWorkers, Policy, resolve
from webhook.policy.label_selector import parse

LABELS = {"dask.org/workergroup-name": "demo-big", "tier": "gpu", "count": "3", "empty": ""}


@pytest.mark.parametrize(
    "selector",
    [
        "dask.org/workergroup-name in (demo-big, other), tier!=cpu",
        "dask.org/workergroup-name=demo-big",
        "tier == gpu",
        "tier",
        "!missing",
        "missing!=x",
        "missing notin (x)",
        "tier in(gpu)",
        "count>2,count<4",
        "empty=",
    ],
)
def test_selector_matches(selector: str) -> None:
    """Equality, sets, existence and numbers match as in `kubectl -l`."""
    assert parse(selector).matches(LABELS)


@pytest.mark.parametrize(
    "selector",
    ["tier=cpu", "tier!=gpu", "!tier", "missing", "missing=", "tier notin (gpu)", "count>3", "tier>1", "tier, missing"],
)
def test_selector_does_not_match(selector: str) -> None:
    """All requirements must match, and an absent label is unequal to every value."""
    assert not parse(selector).matches(LABELS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ",",
        "a,",
        "a in b",
        "a in (b",
        "a b",
        "!a=b",
        "a/b/c",
        "-a",
        "a=b c",
        "a=-",
        "a>b",
        "a in (b),,c",
        "é",
        "a" * 2000,
    ],
)
def test_malformed_selector_is_a_problem(text: str) -> None:
    """A selector that `kubectl` rejects falls back to the default, with a problem that states accepted values."""
    policy = resolve({"colocate.dask.org/gpu-workers": text})
    assert policy.gpu_workers is GpuWorkers.ALL
    assert "accepted: all, requested, or a label selector" in policy.problems[0].text


@pytest.mark.parametrize("word", ["request", "al", "All", "none", "true", "false", "requestd"])
def test_misspelled_keyword_is_a_problem(word: str) -> None:
    """A misspelled `all` or `requested` is a problem, not the key of a label."""
    assert resolve({"colocate.dask.org/gpu-workers": word}).problems


def test_selector_keeps_its_text() -> None:
    """A parsed selector keeps the user's text, and equal selectors have equal hashes."""
    text = "a in (x,y), b!=c, !d, e"
    first, second = (resolve({"colocate.dask.org/gpu-workers": text}) for _ in range(2))
    assert str(first.gpu_workers) == text
    assert hash(first) == hash(second)
    assert first != Policy()
