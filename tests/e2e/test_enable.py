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
    """Run `dask-colocate ARGUMENTS` on the bed's cluster without a terminal."""
    return subprocess.run(
        argv(*arguments, "--kubeconfig", str(kubeconfig or bed.plane.kubeconfig)),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
        check=False,
    )


def annotations_of(bed: Bed, namespace: str) -> dict[str, str]:
    """Return the annotations of a namespace."""
    metadata = bed.api.get(f"/api/v1/namespaces/{namespace}")["metadata"]
    current: dict[str, str] = metadata.get("annotations", {})
    return current


@pytest.fixture
def with_cluster(make_namespace: NamespaceFactory, kubectl: Kubectl) -> str:
    """Create a namespace that is not enabled, with the stripped cluster in it."""
    name = make_namespace({"team": "a"})
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=0))
    return name


def test_enable_reads_the_installation(bed: Bed, with_cluster: str) -> None:
    """With an installed webhook, `enable` warns only if its configuration excludes the namespace."""
    with installed(bed):
        assert "Warning" not in run(bed, "enable", with_cluster, "--dry-run").stdout
        assert "excludes this namespace" in run(bed, "enable", "kube-system", "--dry-run").stdout


def test_enable_shows_and_annotates(bed: Bed, with_cluster: str) -> None:
    """`enable --yes` shows the changes to clusters, keeps other annotations, and does nothing the second time."""
    done = run(bed, "enable", with_cluster, "--set", "gpu-limit=2", "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(CLUSTER)]
    assert row[1] == "not-enabled"
    assert "affinity-added," in row
    assert "Warning: the webhook is not installed in this cluster" in done.stdout
    assert annotations_of(bed, with_cluster) == {"team": "a", ENABLED: "true", f"{PREFIX}gpu-limit": "2"}
    again = run(bed, "enable", with_cluster, "--set", "gpu-limit=2")
    assert (again.returncode, "already has these annotations" in again.stdout) == (0, True)


def test_disable_keeps_other_annotations(bed: Bed, with_cluster: str) -> None:
    """`disable --yes` sets enabled=false and keeps all other annotations of the namespace."""
    run(bed, "enable", with_cluster, "--set", "apart=5", "--yes")
    done = run(bed, "disable", with_cluster, "--yes")
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith(CLUSTER)]
    assert row[-1] == "not-enabled"
    assert annotations_of(bed, with_cluster) == {"team": "a", ENABLED: "false", f"{PREFIX}apart": "5"}


def test_dry_run_changes_nothing(bed: Bed, with_cluster: str) -> None:
    """`--dry-run` shows the same output, does not prompt, and changes nothing."""
    done = run(bed, "enable", with_cluster, "--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    assert CLUSTER in done.stdout
    assert "dry run: the API server accepts the change" in done.stdout
    assert annotations_of(bed, with_cluster) == {"team": "a"}


def test_without_a_terminal_there_is_no_prompt(bed: Bed, with_cluster: str) -> None:
    """Without a terminal and without `--yes` nothing changes, stderr names `--yes`, and the exit status is 2."""
    done = run(bed, "enable", with_cluster)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "--yes" in line
    assert annotations_of(bed, with_cluster) == {"team": "a"}


@pytest.mark.parametrize(("answer", "status", "enabled"), [("y\n", 0, "true"), ("\n", 1, None), ("\x04", 1, None)])
def test_terminal_gets_a_prompt(bed: Bed, with_cluster: str, answer: str, status: int, enabled: str | None) -> None:
    """In a terminal, the prompt follows the list of changes, and only `y` applies them."""
    with Terminal("enable", with_cluster, "--kubeconfig", str(bed.plane.kubeconfig)) as terminal:
        assert CLUSTER in terminal.read_until("[y/n]")
        terminal.type(answer)
        assert terminal.wait() == status
    assert annotations_of(bed, with_cluster).get(ENABLED) == enabled


def test_values_are_checked_first(bed: Bed, with_cluster: str) -> None:
    """An invalid value is rejected with the accepted values, and nothing changes."""
    done = run(bed, "enable", with_cluster, "--set", "gpu-limit=many", "--yes")
    assert done.returncode == 2
    assert done.stderr == "dask-colocate: --set gpu-limit='many': accepted: a whole number, 0-1000\n"
    assert annotations_of(bed, with_cluster) == {"team": "a"}


# ---- errors ---------------------------------------------------------------------------------------


def without_permissions(bed: Bed, folder: Path, namespace: str) -> Path:
    """Write a kubeconfig of an account without permissions; return its path."""
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = bed.api.create(account, {"spec": {}})["status"]["token"]
    config = json.loads(bed.plane.kubeconfig.read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    file = folder / "without-permissions"
    file.write_text(json.dumps(config))
    return file


def unreachable(bed: Bed, folder: Path) -> Path:
    """Write a kubeconfig of an unreachable cluster; return its path."""
    config = json.loads(bed.plane.kubeconfig.read_text())
    (port,) = process.free_ports(1)
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{port}"
    file = folder / "unreachable"
    file.write_text(json.dumps(config))
    return file


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the only line of a failed command's stderr."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    return line


def test_errors_name_the_next_step(bed: Bed, tmp_path: Path, namespace: str) -> None:
    """Each error is one line with the next step, and the exit status is 2."""
    missing = run(bed, "enable", "no-such-namespace", "--yes")
    assert "'no-such-namespace' does not exist; list namespaces with `kubectl get namespaces`" in error_line(missing)
    forbidden = run(bed, "disable", namespace, "--yes", kubeconfig=without_permissions(bed, tmp_path, namespace))
    assert "missing permission: get namespaces" in error_line(forbidden)
    assert "resources: [namespaces]" in forbidden.stderr
    unanswered = run(bed, "enable", namespace, "--yes", kubeconfig=unreachable(bed, tmp_path))
    assert "--kubeconfig and --context" in error_line(unanswered)
    nowhere = run(bed, "review", "--namespace", namespace, kubeconfig=tmp_path / "nowhere")
    assert "use --kubeconfig FILE" in error_line(nowhere)
    strange = run(bed, "review", "--namespace", namespace, "--context", "strange")
    assert "strange" in error_line(strange)


# ---- review of a live namespace -------------------------------------------------------------------


def test_review_of_a_live_namespace(bed: Bed, with_cluster: str, tmp_path: Path) -> None:
    """`--namespace` reads annotations from the cluster, and without files it reviews the objects of the namespace."""
    bed.api.merge(f"/api/v1/namespaces/{with_cluster}", {"metadata": {"annotations": {f"{PREFIX}gpu-limit": "3"}}})
    file = tmp_path / "cluster.json"
    file.write_text(manifest("cluster", name="another"))
    off = json.loads(run(bed, "review", "--namespace", with_cluster, "--output", "json", str(file)).stdout)
    assert [(item["name"], item["namespace"], item["status"]) for item in off] == [
        ("another", with_cluster, "not-enabled")
    ]
    tried = run(bed, "review", "--namespace", with_cluster, "--set", "enabled=true", "--check", "--output", "json")
    assert tried.returncode == 1
    assert "to 3 nvidia.com/gpu" in tried.stdout
    assert ("DaskCluster", "rapids-dask-cluster") in {(item["kind"], item["name"]) for item in json.loads(tried.stdout)}


def test_dry_run_finds_a_missing_permission(bed: Bed, with_cluster: str, kubectl: Kubectl, tmp_path: Path) -> None:
    """`--dry-run` of a user who may read but not annotate names the missing permission."""
    kinds = ",".join(["namespaces", *(f"{plural}.kubernetes.dask.org" for plural in PLURALS)])
    kubectl("create", "role", "reader", "-n", with_cluster, "--verb=get,list", f"--resource={kinds}")
    account = f"--serviceaccount={with_cluster}:default"
    kubectl("create", "rolebinding", "reader", "-n", with_cluster, "--role=reader", account)
    done = run(bed, "enable", with_cluster, "--dry-run", kubeconfig=without_permissions(bed, tmp_path, with_cluster))
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f'missing permission: patch namespaces "{with_cluster}"' in line
    assert CLUSTER in done.stdout
