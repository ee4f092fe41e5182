"""`enable`, `disable` and `review --namespace` against a real API server."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.bed import process
from tests.e2e.examples import manifest
from tests.e2e.webhook_process import installed
from tests.terminal import SECONDS, Terminal, argv, environment
from webhook.kube.cluster import PLURALS
from webhook.policy import ENABLED, PREFIX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory

CLUSTER = "DaskCluster/rapids-dask-cluster"


def run(bed: Bed, *arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`dask-colocate ARGUMENTS` for the bed's cluster, with no terminal anywhere."""
    return subprocess.run(
        argv(*arguments, "--kubeconfig", str(kubeconfig or bed.plane.kubeconfig)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
        check=False,
    )


def annotations(bed: Bed, namespace: str) -> dict[str, str]:
    """What a namespace has now."""
    found: dict[str, str] = bed.api.get(f"/api/v1/namespaces/{namespace}")["metadata"].get("annotations", {})
    return found


@pytest.fixture
def inhabited(make_namespace: NamespaceFactory, kubectl: Kubectl) -> str:
    """A namespace that is not served, with the stripped cluster in it."""
    name = make_namespace({"team": "a"})
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=0))
    return name


def test_enable_knows_the_installation(bed: Bed, inhabited: str) -> None:
    """Where a webhook is installed, nothing is warned of, but that its configuration leaves a namespace out."""
    with installed(bed):
        assert "Warning" not in run(bed, "enable", inhabited, "--dry-run").stdout
        assert "excludes this namespace" in run(bed, "enable", "kube-system", "--dry-run").stdout


def test_enable_shows_and_annotates(bed: Bed, inhabited: str) -> None:
    """`enable --yes` shows what the clusters there will get, and annotates; others stay; again it does nothing."""
    done = run(bed, "enable", inhabited, "--set", "gpu-limit=2", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(CLUSTER)]
    assert row[1] == "not-enabled"
    assert "affinity-added," in row
    assert "Warning: the webhook is not installed in this cluster" in done.stdout
    assert annotations(bed, inhabited) == {"team": "a", ENABLED: "true", f"{PREFIX}gpu-limit": "2"}
    again = run(bed, "enable", inhabited, "--set", "gpu-limit=2")
    assert (again.returncode, "already has these annotations" in again.stdout) == (0, True)


def test_disable_takes_nothing_away(bed: Bed, inhabited: str) -> None:
    """`disable --yes` says enabled=false and leaves the namespace's other annotations, ours too."""
    run(bed, "enable", inhabited, "--set", "apart=5", "--yes")
    done = run(bed, "disable", inhabited, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(CLUSTER)]
    assert row[-1] == "not-enabled"
    assert annotations(bed, inhabited) == {"team": "a", ENABLED: "false", f"{PREFIX}apart": "5"}


def test_dry_run_changes_nothing(bed: Bed, inhabited: str) -> None:
    """`--dry-run` shows the same, needs no answer, and changes nothing."""
    done = run(bed, "enable", inhabited, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert CLUSTER in done.stdout
    assert "dry run: the API server accepts the change" in done.stdout
    assert annotations(bed, inhabited) == {"team": "a"}


def test_without_a_terminal_nobody_is_asked(bed: Bed, inhabited: str) -> None:
    """Without a terminal and without `--yes` nothing is done, and one sentence says what to give: status 2."""
    done = run(bed, "enable", inhabited)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--yes" in line
    assert annotations(bed, inhabited) == {"team": "a"}


@pytest.mark.parametrize(("answer", "status", "enabled"), [("y\n", 0, "true"), ("\n", 1, None), ("\x04", 1, None)])
def test_terminal_is_asked(bed: Bed, inhabited: str, answer: str, status: int, enabled: str | None) -> None:
    """In a terminal the question comes after what would change, and only a yes does it."""
    with Terminal("enable", inhabited, "--kubeconfig", str(bed.plane.kubeconfig)) as terminal:
        assert CLUSTER in terminal.until("[y/n]")
        terminal.type(answer)
        assert terminal.ended() == status
    assert annotations(bed, inhabited).get(ENABLED) == enabled


def test_values_are_checked_first(bed: Bed, inhabited: str) -> None:
    """A value that cannot be used is named with what is accepted; nothing is sent."""
    done = run(bed, "enable", inhabited, "--set", "gpu-limit=many", "--yes")
    assert done.returncode == 2
    assert done.stderr == "dask-colocate: --set gpu-limit='many': accepted: a whole number, 0-1000\n"
    assert annotations(bed, inhabited) == {"team": "a"}


# ---- errors ---------------------------------------------------------------------------------------


def as_nobody(bed: Bed, folder: Path, namespace: str) -> Path:
    """A kubeconfig of an account that may do nothing."""
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = bed.api.create(account, {"spec": {}})["status"]["token"]
    config = json.loads(bed.plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = folder / "nobody"
    file.write_text(json.dumps(config))
    return file


def unreachable(bed: Bed, folder: Path) -> Path:
    """A kubeconfig of a cluster that does not answer."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    (port,) = process.free_ports(1)
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    file = folder / "unreachable"
    file.write_text(json.dumps(config))
    return file


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence of a failure."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_errors_say_what_to_do(bed: Bed, tmp_path: Path, namespace: str) -> None:
    """Forbidden, not found, unreachable and no kubeconfig are one sentence each with what to do next, and status 2."""
    missing = run(bed, "enable", "no-such-namespace", "--yes")
    assert "'no-such-namespace' does not exist; list namespaces with `kubectl get namespaces`" in complaint(missing)
    forbidden = run(bed, "disable", namespace, "--yes", kubeconfig=as_nobody(bed, tmp_path, namespace))
    assert "missing permission: get namespaces" in complaint(forbidden)
    assert "resources: [namespaces]" in forbidden.stderr
    gone = run(bed, "enable", namespace, "--yes", kubeconfig=unreachable(bed, tmp_path))
    assert "--kubeconfig and --context" in complaint(gone)
    nowhere = run(bed, "review", "--namespace", namespace, kubeconfig=tmp_path / "nowhere")
    assert "use --kubeconfig FILE" in complaint(nowhere)
    strange = run(bed, "review", "--namespace", namespace, "--context", "strange")
    assert "strange" in complaint(strange)


# ---- review of a live namespace -------------------------------------------------------------------


def test_review_of_a_live_namespace(bed: Bed, inhabited: str, tmp_path: Path) -> None:
    """`--namespace` takes its annotations from the cluster, and without files reviews what lives there."""
    bed.api.merge(f"/api/v1/namespaces/{inhabited}", {"metadata": {"annotations": {f"{PREFIX}gpu-limit": "3"}}})
    file = tmp_path / "cluster.json"
    file.write_text(manifest("cluster", name="another"))
    off = json.loads(run(bed, "review", "--namespace", inhabited, "--output", "json", str(file)).stdout)
    assert [(one["name"], one["namespace"], one["status"]) for one in off] == [("another", inhabited, "not-enabled")]
    tried = run(bed, "review", "--namespace", inhabited, "--set", "enabled=true", "--check", "--output", "json")
    assert tried.returncode == 1
    assert "gets 3 nvidia.com/gpu" in tried.stdout
    assert ("DaskCluster", "rapids-dask-cluster") in {(one["kind"], one["name"]) for one in json.loads(tried.stdout)}


def test_dry_run_finds_a_missing_right(bed: Bed, inhabited: str, kubectl: Kubectl, tmp_path: Path) -> None:
    """Who may look and not annotate learns it from `--dry-run`, with the rule that is missing."""
    kinds = ",".join(["namespaces", *(f"{each}.kubernetes.dask.org" for each in PLURALS)])
    kubectl("create", "role", "looker", "-n", inhabited, "--verb=get,list", f"--resource={kinds}")
    account = f"--serviceaccount={inhabited}:default"
    kubectl("create", "rolebinding", "looker", "-n", inhabited, "--role=looker", account)
    done = run(bed, "enable", inhabited, "--dry-run", kubeconfig=as_nobody(bed, tmp_path, inhabited))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f'missing permission: patch namespaces "{inhabited}"' in line
    assert CLUSTER in done.stdout
