"""Load of which each review is another one, by vegeta: it is slower than bombardier, which sends the same again."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.bench.load import programs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PATIENCE = "5s"  # that of the API server: what comes later has failed
_ADDRESS = "https://address.invalid"  # until the server's is known


@dataclass(frozen=True, kw_only=True)
class Attack:
    """How reviews are sent.

    Attributes:
        connections: At once.
        seconds: For so long.
        count: Reviews in these seconds, evenly; 0 for a closed loop, in which each answer is followed by a review.
    """

    connections: int
    seconds: float
    count: int = 0

    @property
    def rate(self) -> str:
        """As vegeta has it; 0 is a closed loop."""
        return f"{self.count}/{self.seconds:g}s" if self.count else "0"


def write(file: Path, reviews: Iterable[bytes]) -> None:
    """A request for each review, as vegeta's JSON format has it, with a place for the address."""
    with file.open("w") as out:
        out.writelines(f"{_request(each)}\n" for each in reviews)


def _request(body: bytes) -> str:
    asked = {"method": "POST", "url": _ADDRESS, "header": {"Content-Type": ["application/json"]}}
    return json.dumps({**asked, "body": base64.b64encode(body).decode()})


def fired(url: str, file: Path, how: Attack) -> str:
    """Send what was written, from its begin; what `vegeta report` prints of it as JSON.

    Args:
        url: Where to, with the path.
        file: From `write`; where it ends it begins again.
        how: How fast, and for how long.
    """
    vegeta, results, targets = str(programs.varied_load_generator()), file.with_suffix(".bin"), file.with_suffix(".at")
    targets.write_text(file.read_text().replace(_ADDRESS, url))
    workers = str(how.connections)
    argv = [vegeta, "attack", "-format=json", "-insecure", "-http2=false", f"-rate={how.rate}"]
    argv += [
        f"-duration={how.seconds:g}s",
        f"-timeout={PATIENCE}",
        f"-workers={workers}",
        f"-max-workers={workers}",
        f"-connections={workers}",
        f"-targets={targets}",
        f"-output={results}",
    ]
    run(argv, how.seconds)
    return run([vegeta, "report", "-type=json", str(results)], how.seconds)


def run(argv: list[str], seconds: float) -> str:
    """What a load generator prints that is to end after so many seconds; it has half a minute more."""
    return subprocess.run(argv, capture_output=True, text=True, timeout=seconds + 30, check=True).stdout
