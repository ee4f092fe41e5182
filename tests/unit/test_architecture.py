"""ARCHITECTURE.md and the import contracts describe the same layers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "webhook" / "ARCHITECTURE.md").read_text()
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]


def test_table_lists_the_layers_of_the_import_contract() -> None:
    """The table of packages has the layers of the import contract, in the same order."""
    (layers,) = (each["layers"] for each in CONTRACTS if each.get("containers") == ["webhook"])
    rows = re.findall(r"^\| ((?:`[a-z]+` ?)+) \|", TEXT, re.MULTILINE)
    assert [re.findall(r"`([a-z]+)`", row) for row in rows] == [re.split(r" \| ", layer) for layer in layers]


def test_every_package_of_webhook_is_a_layer() -> None:
    """No package or module of webhook stays outside the import contract."""
    found = {each.stem for each in (ROOT / "webhook").iterdir() if each.is_dir() or each.suffix == ".py"}
    (layers,) = (each["layers"] for each in CONTRACTS if each.get("containers") == ["webhook"])
    assert found - {"__init__", "__main__", "__pycache__"} == {name for layer in layers for name in layer.split(" | ")}


def test_named_files_exist() -> None:
    """Each file that ARCHITECTURE.md names exists."""
    named = re.findall(r"`((?:[a-z_]+/)+(?:[a-z_]+\.[a-z]+)?)`", TEXT)
    missing = [name for name in named if not ((ROOT / "webhook" / name).exists() or (ROOT / name).exists())]
    assert named
    assert not missing
