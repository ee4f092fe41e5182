"""Container images that are known to lack dask-cuda, and what adds it to them.

Sources: dask/dask-docker, base/Dockerfile and notebook/Dockerfile: conda installs dask and its dependencies, no CUDA;
base/prepare.sh, the entrypoint: it installs EXTRA_CONDA_PACKAGES, EXTRA_PIP_PACKAGES and /opt/app/environment.yml
before the command. dask/dask-gateway, dask-gateway/Dockerfile.requirements.txt: dask and distributed only.
rapidsai/docker, Dockerfile: `rapidsai/base` and `rapidsai/notebooks`, which NVIDIA publishes as nvcr.io/nvidia/rapidsai
too, have the `rapids` metapackage, and dask-cuda with it. The contents of other images are unknown.
"""

import re
from collections.abc import Iterable

from webhook.workloads.unstructured import (
    Unstructured,
    mapping,
    sequence,
    text,
)

_LONGEST = 512  # characters of an image: at most 255 of a repository, 128 of a tag, 71 of a digest
# Docker Hub's organisation `daskdev` in any registry that mirrors it. Another registry's `dask` may be any image.
_LACKS = re.compile(
    r"(?:.*/)?daskdev/dask(?:-notebook)?|(?:.*/)?ghcr\.io/dask/dask(?:-notebook|-gateway)?|(?:.*/)?daskgateway/dask-gateway"
)
# Packages that are dask-cuda, or depend on it: their metadata on PyPI and the recipes of conda's channel rapidsai.
_BRINGS = re.compile(r"dask[-_.]cuda|raft[-_.]dask|cugraph|cuml|(?<![a-z-])rapids(?![a-z-])", re.IGNORECASE)
_EXTRA = frozenset({"EXTRA_PIP_PACKAGES", "EXTRA_CONDA_PACKAGES"})
_ENVIRONMENT_FOLDER = "/opt/app"

ENVIRONMENT = _EXTRA
"""Environment variables that name packages to install."""
ENVIRONMENT_MOUNT = {"mountPath": _ENVIRONMENT_FOLDER}
"""Volume mount of an environment to install, with the field that rules read."""


def lacks_dask_cuda(container: Unstructured, init_containers: Iterable[Unstructured]) -> str | None:
    """Return a container's image if it is known to lack dask-cuda and the pod does not install it; else None."""
    image = text(container, "image") or ""
    if len(image) > _LONGEST or not _LACKS.fullmatch(repository(image)):
        return None
    added = _installed_by_entrypoint(container) or any(_mentions(each) for each in (container, *init_containers))
    return None if added else image


def repository(image: str) -> str:
    """Return an image's repository, with its registry and without tag and digest."""
    name, _, _ = image.partition("@")
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"


def brings_environment(container: Unstructured) -> bool:
    """Return whether something is mounted where the entrypoint looks for an environment to install."""
    return any(
        (text(mount, "mountPath") or "").startswith(_ENVIRONMENT_FOLDER)
        for mount in sequence(container, "volumeMounts")
    )


def _installed_by_entrypoint(container: Unstructured) -> bool:
    """Return whether the image's entrypoint installs dask-cuda; a value from `valueFrom` may name it."""
    if sequence(container, "command"):  # takes the entrypoint's place
        return False
    return brings_environment(container) or any(
        "valueFrom" in mapping(each) or bool(_BRINGS.search(text(each, "value") or ""))
        for each in sequence(container, "env")
        if text(each, "name") in _EXTRA
    )


def _mentions(container: Unstructured) -> bool:
    """Return whether a container's command names dask-cuda, as a shell script that installs it does."""
    words = (*sequence(container, "command"), *sequence(container, "args"))
    return any(bool(_BRINGS.search(word)) for word in words if isinstance(word, str))
