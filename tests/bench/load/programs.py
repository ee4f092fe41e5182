"""The Go programs of the benchmark: a load generator, and the controller-runtime webhook of `tests/bench/go`."""

from __future__ import annotations

import hashlib
import os
import platform
import tempfile
from pathlib import Path

from tests.e2e.bed import binaries, toolchain
from tests.e2e.bed.binaries import Program, UnavailableError

SOURCE = Path(__file__).parents[1] / "go"
_BOMBARDIER = "github.com/codesenberg/bombardier"
BOMBARDIER = Program(name="bombardier", package=_BOMBARDIER, module=_BOMBARDIER, version="v1.2.6")
_VEGETA = "github.com/tsenart/vegeta/v12"
VEGETA = Program(name="vegeta", package=_VEGETA, module=_VEGETA, version="v12.13.0")


def load_generator() -> Path:
    """bombardier, built the first time."""
    return binaries.locate((BOMBARDIER,))[BOMBARDIER.name]


def varied_load_generator() -> Path:
    """vegeta, which can send another body each time and is slower for it; built the first time."""
    return binaries.locate((VEGETA,))[VEGETA.name]


def go_webhook() -> Path:
    """The webhook of `tests/bench/go`, built when its source is new.

    Raises:
        UnavailableError: It cannot be built.
    """
    machine = f"{platform.system()}-{platform.machine()}".lower()
    target = binaries.cache() / f"go-webhook-{_digest()}" / machine / "go-webhook"
    if not target.exists():
        print("building the Go webhook, first time only, about 1 minute", flush=True)
        try:
            _build(target)
        except (toolchain.GoError, OSError) as cause:
            raise UnavailableError(target.name, cause) from cause
    return target


def controller_runtime() -> str:
    """Its version in `go.mod`."""
    lines = (line.split() for line in (SOURCE / "go.mod").read_text().splitlines())
    return next(words[1] for words in lines if words[:1] == ["sigs.k8s.io/controller-runtime"])


def _digest() -> str:
    content = b"".join(each.read_bytes() for each in sorted(SOURCE.iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


def _build(target: Path) -> None:
    """Beside its place, then renamed: a run beside this one sees all of the file or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        built = Path(folder) / "program"
        argv = [toolchain.go(binaries.cache()), "build", "-trimpath", "-ldflags", "-s -w", "-o", str(built), "."]
        toolchain.run(argv, SOURCE, {**os.environ, "CGO_ENABLED": "0"})
        built.rename(target)
