"""Selectors of DeviceClasses: supported CEL expressions, and rejection of all other expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from webhook.placement.selectors import comparisons, matches

if TYPE_CHECKING:
    from webhook.workloads.unstructured import Unstructured

DRIVER = "gpu.nvidia.com"
GPU = {
    "name": "gpu-0",
    "attributes": {
        "type": {"string": "gpu"},
        "example.com/rank": {"int": 3},
        "gpu.nvidia.com/fast": {"bool": True},
        "driverVersion": {"version": "570.1.0"},
    },
}


def cel(*expressions: Unstructured) -> list[Unstructured]:
    """Return selectors with these expressions."""
    return [{"cel": {"expression": each}} for each in expressions]


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("device.driver == 'gpu.nvidia.com'", True),
        ('device.driver == "gpu.example.com"', False),
        ("device.driver != 'gpu.example.com'", True),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'", True),
        ("device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'mig'", False),
        ("device.attributes['example.com'].rank == 3", True),
        ("device.attributes['example.com'].rank == true", False),
        ("device.attributes['gpu.nvidia.com'].fast==true", True),
        ("device.attributes['gpu.nvidia.com'].fast != true", False),
        ("device.attributes['example.com'].type == 'gpu'", False),
        ("device.attributes['example.com'].absent != 'gpu'", False),
        ("device.attributes['gpu.nvidia.com'].driverVersion == '570.1.0'", False),
    ],
)
def test_supported_expression(expression: str, found: bool) -> None:
    """A conjunction matches if each comparison does; an absent attribute matches nothing."""
    parsed = comparisons(cel(expression))
    assert parsed is not None
    assert matches(parsed, GPU, DRIVER) is found


def test_all_selectors_must_hold() -> None:
    """A class without selectors matches every device; of several selectors each must match."""
    every, both = comparisons([]), comparisons(cel("device.driver == 'gpu.nvidia.com'", "device.driver == 'other'"))
    assert every == ()
    assert both is not None
    assert matches(every, GPU, DRIVER)
    assert not matches(both, GPU, DRIVER)


@pytest.mark.parametrize(
    "expression",
    [
        "device.driver == 'a' || device.driver == 'b'",
        "!(device.driver == 'a')",
        "'gpu.nvidia.com' in device.attributes",
        "device.capacity['gpu.nvidia.com'].memory.compareTo(quantity('40Gi')) >= 0",
        "device.attributes['gpu.nvidia.com'].productName.lowerAscii().matches('^.*a100.*$')",
        "device.driver == 'a && b'",
        "",
        "device.driver == '" + "a" * 5000 + "'",
        None,
        ["device.driver == 'a'"],
    ],
)
def test_unsupported_expression(expression: Unstructured) -> None:
    """One unsupported expression makes the whole class unsupported."""
    assert comparisons(cel("device.driver == 'gpu.nvidia.com'", expression)) is None
