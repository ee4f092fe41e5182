"""The image as any OCI builder makes it: whose it is, what it starts, how large it is, and that it serves.

Built by `buildah`, where that is installed; TEST_BUILDAH_FLAGS are added to the build, such as a mounted pip.conf
or `--build-arg=PYTHON_IMAGE=...` where python:3.12-slim can't be pulled.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import ssl
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.e2e.bed import process

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TAG = "localhost/dask-colocate:under-test"
BASE = "docker.io/library/python:3.12-slim"
MEBIBYTES_ABOVE_BASE = 150


def buildah(*arguments: str) -> str:
    """What buildah printed."""
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-4000:]
    return done.stdout


def pulled(base: str, policy: Path) -> bool:
    """Whether the base image is here, or comes from its registry."""
    argv = ["buildah", "pull", "--policy=missing", f"--signature-policy={policy}", base]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The image, built; what `buildah inspect` says of it."""
    if not shutil.which("buildah"):
        pytest.skip("NOT RUN: there is no buildah on the PATH: apt-get install buildah")
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    flags = shlex.split(os.environ.get("TEST_BUILDAH_FLAGS", ""))
    if not any("PYTHON_IMAGE=" in flag for flag in flags) and not pulled(BASE, policy):
        pytest.skip(f"NOT RUN: {BASE} can't be pulled. Name a base that is here: see TEST_BUILDAH_FLAGS in {__file__}")
    buildah("bud", "--isolation=chroot", f"--signature-policy={policy}", "--layers", *flags, "-t", TAG, str(ROOT))
    yield json.loads(buildah("inspect", "--type=image", TAG))
    buildah("rmi", TAG)


@pytest.fixture
def container(image: dict[str, Any]) -> Iterator[str]:
    """A container of the image; its name."""
    assert image
    name = buildah("from", "--pull-never", TAG).strip()
    yield name
    buildah("rm", name)


def test_what_it_is(image: dict[str, Any]) -> None:
    """Nobody by number, one entrypoint without a shell, and labels that say what it is."""
    config = image["OCIv1"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/dask-colocate/bin/dask-colocate"]
    assert config["Cmd"] == ["serve"]
    assert config["Labels"]["org.opencontainers.image.title"] == "dask-colocate"
    assert config["Labels"]["org.opencontainers.image.version"]


def test_size(container: str) -> None:
    """All that it adds to its base is one tree of less than 150 MiB, with nothing to build or install by."""
    tree = Path(buildah("mount", container).strip()) / "opt" / "dask-colocate"
    size = sum(each.lstat().st_size for each in tree.rglob("*"))
    assert size < MEBIBYTES_ABOVE_BASE * 2**20
    assert not list(tree.glob("lib/python3*/site-packages/pip"))
    # compiled: a read-only root would have them compiled at each start
    assert list(tree.glob("lib/python3*/site-packages/webhook/__pycache__/*.pyc"))


def test_it_serves(container: str, tmp_path: Path) -> None:
    """It starts as that nobody and answers over TLS."""
    (port,) = process.free_ports(1)
    namespaces = Path(buildah("mount", container).strip()) / "namespaces.yaml"
    namespaces.write_text((ROOT / "deploy" / "examples" / "namespace.yaml").read_text())
    entry = ["/opt/dask-colocate/bin/dask-colocate", "serve", "--namespaces-file=/namespaces.yaml"]
    argv = ["buildah", "run", "--isolation=chroot", container, "--", *entry, "--host=127.0.0.1", f"--port={port}"]
    serving = process.start("image", argv, tmp_path / "log")
    unchecked = ssl.create_default_context()  # its certificate is made at the start, for nobody to know
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=unchecked, trust_env=False) as client:
        serving.wait_until(lambda: process.listening(port), 30)
        assert client.get("/readyz").text == "ok\n"
        assert "dask_colocate_build_info" in client.get("/metrics").text
    serving.stop()
