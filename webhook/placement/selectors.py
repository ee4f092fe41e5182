"""Selectors of a DeviceClass: the part of CEL that drivers' own classes use.

A selector is a conjunction (`&&`) of comparisons, such as NVIDIA's
`device.driver == 'gpu.nvidia.com' && device.attributes['gpu.nvidia.com'].type == 'gpu'`. Anything else, such as `||`, a
function or a capacity, is not supported: devices of that class are not counted.

Source: Kubernetes API reference, `CELDeviceSelector` and `DeviceAttribute` resource.k8s.io/v1.
"""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeAlias

from webhook.workloads.unstructured import Unstructured, mapping, text

_COMPARISON = re.compile(
    r"""\s*device\.
    (?: driver | attributes\[(?P<q>["'])(?P<domain>[\w./-]+)(?P=q)\]\.(?P<name>\w+) )
    \s*(?P<operator>==|!=)\s*
    (?: (?P<p>["'])(?P<text>[^"'\\&|]*)(?P=p) | (?P<bare>true|false|\d+) )\s*""",
    re.VERBOSE,
)
_MAX_LENGTH = 4096  # characters of one expression; the API accepts 10 KiB

Value: TypeAlias = str | int | bool
Attributes: TypeAlias = Mapping[tuple[str, str], Value]
"""Attributes of a device by domain and name."""


class Comparison(NamedTuple):
    """One comparison.

    Attributes:
        key: Domain and name of the attribute; None for the driver.
        equal: True for `==`, False for `!=`.
        value: The literal.
    """

    key: tuple[str, str] | None
    equal: bool
    value: Value

    def holds(self, driver: str, attributes: Attributes) -> bool:
        """Return whether a device matches. A device without the attribute, or with another type, never does."""
        actual = driver if self.key is None else attributes.get(self.key)
        return type(actual) is type(self.value) and (actual == self.value) is self.equal


def comparisons(selectors: Sequence[Unstructured]) -> tuple[Comparison, ...] | None:
    """Parse `selectors` of a DeviceClass; return None if one of them is not supported."""
    parsed = []
    for expression in (text(selector, "cel", "expression") or "" for selector in selectors):
        for clause in expression[:_MAX_LENGTH].split("&&"):
            match = _COMPARISON.fullmatch(clause)
            if match is None:
                return None
            key = (match["domain"], match["name"]) if match["name"] else None
            parsed.append(Comparison(key, match["operator"] == "==", _literal(match)))
    return tuple(parsed)


def _literal(match: re.Match[str]) -> Value:
    if match["bare"] is None:
        return match["text"]
    return match["bare"] == "true" if match["bare"] in {"true", "false"} else int(match["bare"])


def attributes(device: Unstructured, driver: str) -> Attributes:
    """Return the attributes of a raw device; a name without a domain belongs to the driver's domain."""
    values: dict[tuple[str, str], Value] = {}
    for key, attribute in mapping(device, "attributes").items():
        domain, _, name = key.rpartition("/")
        for kind in ("string", "bool", "int"):
            value = mapping(attribute).get(kind)
            if isinstance(value, (str, int)):
                values[domain or driver, name] = value
    return values


def matches(selector: Sequence[Comparison], device: Unstructured, driver: str) -> bool:
    """Return whether a raw device of a driver belongs to the class with this selector."""
    device_attributes = attributes(device, driver)
    return all(comparison.holds(driver, device_attributes) for comparison in selector)
