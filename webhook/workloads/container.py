"""Choice of the container that runs Dask in a pod spec.

A container that certainly starts a worker (or the Dask scheduler) is the one, else the container named after the
role. A pod spec with one container has no other choice. In any other case no container is chosen: a text that only
mentions a worker may be a sidecar's, and sidecars are never changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webhook.workloads import argv
from webhook.workloads.unstructured import Unstructured, sequence, text

_LONGEST_NAME = 30
# Containers whose commands are read, each within milliseconds; of all others the names count.
_READ = 8


@dataclass(frozen=True, slots=True)
class Container:
    """The container of a pod spec that runs Dask; never a sidecar.

    Attributes:
        index: Its place in `containers`.
        raw: The container.
    """

    index: int
    raw: Unstructured

    @property
    def name(self) -> str:
        """Its name, as messages show it: truncated, since Kubernetes takes 63 characters and a message 120."""
        name = text(self.raw, "name") or f"[{self.index}]"
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


_STARTS: Mapping[str, Callable[[Unstructured], bool]] = {
    "worker": argv.starts_worker,
    "scheduler": argv.starts_scheduler,
}


def dask_container(spec: Unstructured, role: str) -> tuple[Container | None, str]:
    """Return the container that runs Dask, or None and why none of several is chosen, as one line.

    Args:
        spec: The pod spec.
        role: `worker` or `scheduler`.
    """
    containers = [Container(index, raw) for index, raw in enumerate(sequence(spec, "containers")) if _is_object(raw)]
    if len(containers) < 2:  # noqa: PLR2004 - no choice: the only container, whatever it runs
        return next(iter(containers), None), ""
    certain = [container for container in containers[:_READ] if _STARTS[role](container.raw)]
    if len(certain) > 1:
        return None, f"containers {certain[0].name} and {certain[1].name} both start a Dask {role}; none is changed"
    named = [container for container in containers if container.raw.get("name") == role]
    chosen = next(iter((*certain, *named)), None)
    unknown = f"which of {len(containers)} containers runs the Dask {role} is unknown; name it '{role}'"
    return chosen, "" if chosen else unknown


def _is_object(raw: Unstructured) -> bool:
    return isinstance(raw, dict)
