"""Options that a worker needs to be reachable or to connect: the rule keeps them or refuses the conversion.

Source: `CUDAWorker.__init__` and the click command of dask-cuda 21.12 - 26.10. dask-cuda raises for:

- `--listen-address` together with `--host`, `--interface` or `--worker-port`
- `--contact-address` without `--listen-address`
- either address with several GPUs
- fewer worker ports than GPUs

It uses TLS files only if all three are set.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.mutators.command.arguments import ParsedOption, whole
from webhook.mutators.command.image import Image
from webhook.mutators.command.options import format_version, in_version
from webhook.policy import PREFIX

_VERSION_KEY = f"{PREFIX}dask-cuda-version"
_TLS = ("--tls-ca-file", "--tls-cert", "--tls-key")
_WITHOUT_LISTEN_ADDRESS = ("--host", "--interface", "--worker-port")


@dataclass(frozen=True, slots=True)
class Need:
    """A needed option that dask-cuda does not accept as it is.

    Attributes:
        line: The reason and the recommended action.
        by_version: True if another version of dask-cuda accepts the option.
    """

    line: str
    by_version: bool = False


class NeededOptionError(Exception):
    """dask-cuda does not accept options that the worker needs.

    Attributes:
        lines: The reason and the recommended action, for each option.
        by_version: True if another version of dask-cuda accepts all options.
    """

    def __init__(self, needs: Sequence[Need]) -> None:
        """Sort the needs that no version of dask-cuda meets to the front."""
        ordered = sorted(needs, key=lambda need: need.by_version)
        super().__init__(ordered[0].line)
        self.lines = tuple(need.line for need in ordered)
        self.by_version = all(need.by_version for need in needs)


def unmet_needs(options: Sequence[ParsedOption], image: Image) -> Iterator[Need]:
    """Yield the needed options that dask-cuda does not accept as they are."""
    last = {option.option.names[0]: option for option in options}  # click uses the last of repeated options
    for option in last.values():
        yield from _version_need(option, image)
        if image.gpus > 1 and option.option.single:
            yield Need(f"{option.name} supports one GPU only; the worker has {image.gpus}")
    if (ports := last.get("--worker-port")) and image.gpus > 1 and _ports(ports.setting) < image.gpus:
        yield Need(f"--worker-port must be first:last with one port for each of {image.gpus} GPUs")
    if not last.keys().isdisjoint(_TLS) and not last.keys() >= set(_TLS):
        yield Need(f"dask-cuda requires all of {', '.join(_TLS)}")
    if "--listen-address" in last and (conflicts := [name for name in _WITHOUT_LISTEN_ADDRESS if name in last]):
        yield Need(f"--listen-address conflicts with {conflicts[0]}; remove one of them")
    if "--contact-address" in last and "--listen-address" not in last:
        yield Need("--contact-address requires --listen-address")


def _version_need(option: ParsedOption, image: Image) -> Iterator[Need]:
    row = option.option
    if not row.needed or in_version(row, image.version):
        return
    if row.since is None:
        yield Need(f"dask-cuda has no {option.name}; remove it or use worker-command=keep")
    elif image.version is None:
        yield Need(f"{option.name} needs dask-cuda {format_version(row.since)}; set {_VERSION_KEY}", by_version=True)
    else:
        line = f"dask-cuda {format_version(image.version)} lacks {option.name}; use {format_version(row.since)}"
        yield Need(f"{line} or worker-command=keep", by_version=True)


def _ports(text: str) -> int:
    """Return the number of ports in `port` or `first:last`; 0 for a variable."""
    first, colon, last = text.partition(":")
    low, high = whole(first), whole(last if colon else first)
    return 0 if low is None or high is None else high - low + 1
