"""Choice of the container that runs Dask in a pod spec.

The choice is the only container, else the one that certainly starts a worker (or the Dask scheduler), else the one
named after the role. In any other case no container is chosen: a command that only mentions a worker may be a
sidecar's, and sidecars are never changed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from webhook.workloads import argv
from webhook.workloads.unstructured import Unstructured, sequence, text

_LONGEST_NAME = 30
# Number of containers whose commands are parsed, each in milliseconds; of further containers only the names count.
_READ = 8


@dataclass(frozen=True, slots=True)
class Container:
    """Container of a pod spec that runs Dask; never a sidecar.

    Attributes:
        index: Index in `containers`.
        raw: The container as written.
    """

    index: int
    raw: Unstructured

    @property
    def name(self) -> str:
        """Name for messages, truncated: Kubernetes accepts 63 characters, and a message has 120."""
        name = text(self.raw, "name") or f"[{self.index}]"
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


_STARTS: Mapping[str, Callable[[Unstructured], bool]] = {
    "worker": argv.starts_worker,
    "scheduler": argv.starts_scheduler,
}


def dask_container(spec: Unstructured, role: str) -> tuple[Container | None, str]:
    """Return the container that runs Dask; or None and the reason why none of several is chosen, as one line.

    Args:
        spec: The pod spec.
        role: `worker` or `scheduler`.
    """
    written = sequence(spec, "containers")
    containers = [Container(index, raw) for index, raw in enumerate(written) if isinstance(raw, dict)]
    if len(containers) < 2:  # noqa: PLR2004 - no choice
        return (containers[0] if containers else None), ""
    certain = [container for container in containers[:_READ] if _STARTS[role](container.raw)]
    if len(certain) > 1:
        return None, f"containers {certain[0].name} and {certain[1].name} both start a Dask {role}; none is changed"
    named = [container for container in containers if container.raw.get("name") == role]
    for container in (*certain, *named):
        return container, ""
    return None, f"which of {len(containers)} containers runs the Dask {role} is unknown; name it '{role}'"
