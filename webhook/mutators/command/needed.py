"""Options without which a worker cannot be reached, or cannot connect: kept, or the conversion is refused.

Source: `CUDAWorker.__init__` and the click command of dask-cuda 21.12 - 26.10. dask-cuda raises for a listen address
beside `--host`, `--interface` or `--worker-port`, for a contact address without a listen address, for either with
several GPUs, and for fewer ports than GPUs. It uses TLS files only if all three are given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from webhook.mutators.command.arguments import Given, whole
from webhook.mutators.command.image import Image
from webhook.mutators.command.options import in_version, spelled
from webhook.policy import PREFIX

_VERSION_KEY = f"{PREFIX}dask-cuda-version"
_KEEP = f"{PREFIX}worker-command=keep"
_TLS = ("--tls-ca-file", "--tls-cert", "--tls-key")
_WITHOUT_LISTEN_ADDRESS = ("--host", "--interface", "--worker-port")


@dataclass(frozen=True, slots=True)
class Need:
    """Why dask-cuda does not take an option that a worker needs.

    Attributes:
        line: The reason, and what to write.
        by_version: True if another version of dask-cuda takes it.
    """

    line: str
    by_version: bool = False


class NeededOptionError(Exception):
    """Options without which the worker cannot be reached, and which dask-cuda does not take as they are.

    Attributes:
        lines: One for each option: why, and what to write.
        by_version: True if another version of dask-cuda takes them all.
    """

    def __init__(self, needs: Sequence[Need]) -> None:
        """Refuse the conversion; the needs that no version of dask-cuda meets come first."""
        ordered = sorted(needs, key=lambda need: need.by_version)
        super().__init__(ordered[0].line)
        self.lines = tuple(need.line for need in ordered)
        self.by_version = all(need.by_version for need in needs)


def unmet(given: Sequence[Given], image: Image) -> Iterator[Need]:
    """Yield why dask-cuda would not do what the options say that a worker needs."""
    # Of an option given twice click takes the last one.
    last = {option.option.names[0]: option for option in given}
    for option in last.values():
        yield from _version_need(option, image)
        if image.gpus > 1 and option.option.single:
            yield Need(f"{option.name} works with one GPU only, and the worker has {image.gpus}")
    if (ports := last.get("--worker-port")) and image.gpus > 1 and _ports(ports.effect) < image.gpus:
        yield Need(f"--worker-port needs first:last with a port for each of {image.gpus} GPUs")
    if not last.keys().isdisjoint(_TLS) and not last.keys() >= set(_TLS):
        yield Need(f"it needs all of {', '.join(_TLS)}")
    if "--listen-address" in last and (beside := [name for name in _WITHOUT_LISTEN_ADDRESS if name in last]):
        yield Need(f"--listen-address cannot be used with {beside[0]}; drop one of them")
    if "--contact-address" in last and "--listen-address" not in last:
        yield Need("--contact-address needs --listen-address too")


def _version_need(given: Given, image: Image) -> Iterator[Need]:
    option = given.option
    if not option.needed or in_version(option, image.version):
        return
    if option.since is None:
        yield Need(f"it has no {given.name}; drop it, or set {_KEEP}")
    elif image.version is None:
        yield Need(f"{given.name} is new in {spelled(option.since)}; set {_VERSION_KEY}", by_version=True)
    else:
        line = f"{spelled(image.version)} lacks {given.name}; use {spelled(option.since)} or {_KEEP}"
        yield Need(line, by_version=True)


def _ports(text: str) -> int:
    """Return how many ports a value names, `port` or `first:last`; 0 if it is a variable."""
    first, colon, last = text.partition(":")
    low, high = whole(first), whole(last if colon else first)
    return 0 if low is None or high is None else high - low + 1
