"""A coverage-guided fuzzer on parsing and deciding: `make fuzz`, or `python -m tests.faults.fuzz -runs=N`.

libFuzzer, through atheris, which is no dependency: it has wheels for few platforms. Half of its mutations bend the
JSON (`arbitrary.bend`), so that they get past the parser; the other half are its own, on bytes. `corpus/` is where it
begins: of ten minutes that began with the fixture cases, the smallest input for each set of decisions.
"""

from __future__ import annotations

import logging
import random
import sys
from pathlib import Path

import atheris
import orjson

with atheris.instrument_imports(include=["webhook"]):
    from webhook.http.app import Webhook
    from webhook.kube.namespaces.static import StaticNamespaces
    from webhook.policy import Policy
    from webhook.telemetry.recorder import Recorder

from tests.faults import arbitrary
from tests.faults.laws import answer, check

CORPUS = Path(__file__).with_name("corpus")
FOUND = Path("build") / "fuzz"
LONGEST = 16 * 1024

_chance = random.Random(0)  # noqa: S311 - to be repeated, not to be secret
_webhook = Webhook(StaticNamespaces(arbitrary.namespaces(_chance)), Policy(), Recorder())


def one(body: bytes) -> None:
    """Answer one body and check the answer; whatever is raised is a finding."""
    check(body, answer(_webhook, body), _webhook)


def bent(data: bytes, max_size: int, seed: int) -> bytes:
    """Another input made from one: bent as JSON where it is some, else as bytes."""
    chance = random.Random(seed)  # noqa: S311 - as above
    try:
        document = orjson.loads(data)
        if not isinstance(document, dict) or chance.random() < 0.5:
            return bytes(atheris.Mutate(data, max_size))
        for _ in range(1 + chance.randrange(3)):
            arbitrary.bend(document, chance)
        made = orjson.dumps(document)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        made = b""
    return made if 0 < len(made) <= max_size else bytes(atheris.Mutate(data, max_size))


def main() -> None:
    """Fuzz with libFuzzer's options; what is found goes to the first folder named, else to `build/fuzz`."""
    logging.disable()
    named = [each for each in sys.argv[1:] if not each.startswith("-")]
    FOUND.mkdir(parents=True, exist_ok=True)
    folders = [] if named else [str(FOUND), str(CORPUS)]
    atheris.Setup([*sys.argv, *folders, f"-max_len={LONGEST}"], one, custom_mutator=bent)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
