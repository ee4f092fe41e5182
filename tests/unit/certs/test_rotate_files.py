"""More of the rotation on files: faults told again, and the worst of starts."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from certs.issue import Pair
from certs.observe import Observation
from certs.plan import Material
from certs.rotate import Rotation
from certs.serving import Serving
from certs.sources import Mounted
from certs.store import Directory, Files
from tests.unit.certs.made import DAY, NAMES, NOW, ca, signed

CA = ca()


def _write(folder: Path, pair: Pair, bundle: bytes = CA.certificate) -> None:
    Directory(folder).write(Material(leaf=pair, bundle=bundle))


def _rotation(folder: Path, seen: list[Observation], clock: Callable[[], datetime] = lambda: NOW) -> Rotation:
    files = Files(certificate=folder / "tls.crt", key=folder / "tls.key", bundle=folder / "ca.crt")
    source = Mounted(files=files, names=NAMES)
    return Rotation(serving=Serving(), source=source, clock=clock, observe=seen.append)


def test_after_a_bad_pair_a_good_one_is_taken_and_the_next_fault_is_told_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Success forgets the failure: the same fault later is warned of again."""
    bad, good = signed(CA, NOW - 91 * DAY), signed(CA)
    rotation = _rotation(tmp_path, [])
    for pair in (signed(CA), bad, good, bad):
        _write(tmp_path, pair)
        rotation.once()
    assert rotation.serving.pair == good
    assert sum("expired on" in record.getMessage() for record in caplog.records) == 2


def test_at_the_start_a_bad_pair_is_better_than_none_but_not_ready(tmp_path: Path) -> None:
    """With nothing better an expired pair is served, so that probes and metrics work; ready it is not."""
    _write(tmp_path, signed(CA, NOW - 91 * DAY))
    rotation = _rotation(tmp_path, [])
    rotation.once()
    assert rotation.serving.pair is not None
    assert not rotation.ready
    assert "expired" in rotation.wrong[0]
