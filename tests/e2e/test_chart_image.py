"""The image that an OCI builder creates: user, entrypoint, size, and that it serves.

`buildah` builds the image; without `buildah` the tests are skipped. TEST_BUILDAH_FLAGS adds flags to the build, such as
a mounted pip.conf, or `--build-arg=PYTHON_IMAGE=...` if python:3.12-slim cannot be pulled.
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
    """Run buildah and return its stdout."""
    done = subprocess.run(["buildah", *arguments], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr[-4000:]
    return done.stdout


def pulled(base: str, policy: Path) -> bool:
    """Pull the base image unless it is present; return whether it is present afterwards."""
    argv = ["buildah", "pull", "--policy=missing", f"--signature-policy={policy}", base]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Build the image and yield the output of `buildah inspect`."""
    if not shutil.which("buildah"):
        pytest.skip("NOT RUN: buildah is not on the PATH; run: apt-get install buildah")
    policy = tmp_path_factory.mktemp("policy") / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    flags = shlex.split(os.environ.get("TEST_BUILDAH_FLAGS", ""))
    if not any("PYTHON_IMAGE=" in flag for flag in flags) and not pulled(BASE, policy):
        pytest.skip(f"NOT RUN: cannot pull {BASE}. Set a local base image: see TEST_BUILDAH_FLAGS in {__file__}")
    buildah("bud", "--isolation=chroot", f"--signature-policy={policy}", "--layers", *flags, "-t", TAG, str(ROOT))
    yield json.loads(buildah("inspect", "--type=image", TAG))
    buildah("rmi", TAG)


@pytest.fixture
def container(image: dict[str, Any]) -> Iterator[str]:
    """Create a container of the image and yield its name."""
    assert image
    name = buildah("from", "--pull-never", TAG).strip()
    yield name
    buildah("rm", name)


def test_image_configuration(image: dict[str, Any]) -> None:
    """The image has a numeric unprivileged user, an entrypoint without a shell, and title and version labels."""
    config = image["OCIv1"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/opt/dask-colocate/bin/dask-colocate"]
    assert config["Cmd"] == ["serve"]
    assert config["Labels"]["org.opencontainers.image.title"] == "dask-colocate"
    assert config["Labels"]["org.opencontainers.image.version"]


def test_image_size(container: str) -> None:
    """The image adds one directory of less than 150 MiB to its base, without pip."""
    tree = Path(buildah("mount", container).strip()) / "opt" / "dask-colocate"
    size = sum(path.lstat().st_size for path in tree.rglob("*"))
    assert size < MEBIBYTES_ABOVE_BASE * 2**20
    assert not list(tree.glob("lib/python3*/site-packages/pip"))
    # compiled: on a read-only root file system Python cannot store the bytecode
    assert list(tree.glob("lib/python3*/site-packages/webhook/__pycache__/*.pyc"))


def test_image_serves(container: str, tmp_path: Path) -> None:
    """The container starts as its unprivileged user and responds over TLS."""
    (port,) = process.free_ports(1)
    namespaces = Path(buildah("mount", container).strip()) / "namespaces.yaml"
    namespaces.write_text((ROOT / "deploy" / "examples" / "namespace.yaml").read_text())
    entry = ["/opt/dask-colocate/bin/dask-colocate", "serve", "--namespaces-file=/namespaces.yaml"]
    argv = ["buildah", "run", "--isolation=chroot", container, "--", *entry, "--host=127.0.0.1", f"--port={port}"]
    serving = process.start("image", argv, tmp_path / "log")
    unchecked = ssl.create_default_context()  # the certificate is generated at the start, so no CA is known
    unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=unchecked, trust_env=False) as client:
        serving.wait_until(lambda: process.listening(port), 30)
        assert client.get("/readyz").text == "ok\n"
        assert "dask_colocate_build_info" in client.get("/metrics").text
    serving.stop()
