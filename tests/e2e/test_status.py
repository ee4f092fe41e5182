"""`status` on a real control plane: workers that were not mutated, and the commands that fix that."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import httpx

from tests.e2e.examples import manifest
from tests.e2e.status_process import apply_fix, command, document, issues, status
from tests.e2e.webhook_process import ENABLED, Served, installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def names(pods: list[Object]) -> set[str]:
    """Return the names of pods."""
    return {pod["metadata"]["name"] for pod in pods}


def test_workers_created_while_the_webhook_was_down(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, gpu_nodes: list[str], tmp_path: Path
) -> None:
    """The report lists exactly the pods created while the webhook was down, and the fix replaces them."""
    with installed(bed) as served:
        name = make_namespace(ENABLED)
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2, name="before"))
        good = bed.wait_for_workers(name, "before", 2)
        served.process.stop()
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=3, name="while-down"))
        unmutated = bed.wait_for_workers(name, "while-down", 3)
        served.again(bed)
        done = status(bed, "--output", "json")
        report = json.loads(done.stdout)
        assert {worker["pod"] for worker in report["not_mutated"]} == names(unmutated)
        assert {worker["cause"] for worker in report["not_mutated"]} == {"webhook-down"}
        (cluster,) = (cluster for cluster in report["clusters"] if cluster["name"] == "before")
        assert {worker["name"]: worker["state"] for worker in cluster["workers"]} == dict.fromkeys(
            names(good), "mutated"
        )
        assert set(cluster["nodes"]["used"]) <= set(gpu_nodes)
        assert cluster["nodes"]["minimum"] == len(cluster["nodes"]["used"]) == 1
        assert done.returncode == 1
        (issue,) = issues(report)
        assert issue["warning"].startswith("this command ends the tasks")
        apply_fix(bed, issue)
        bed.wait_for_workers(name, "while-down", 3)
        done = status(bed, "--output", "json")
        assert json.loads(done.stdout)["not_mutated"] == []
        assert done.returncode == 0, done.stdout
        page = tmp_path / "status.html"
        assert status(bed, "--html", str(page)).returncode == 0
        text = page.read_text()
        assert all(pod["metadata"]["name"] in text and pod["spec"]["nodeName"] in text for pod in bed.pods(name))


def test_cluster_created_before_the_annotations(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """With `targets: resources` the fix deletes the cluster; workers of a new cluster are mutated."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace()
    time.sleep(1)  # timestamps have whole seconds: the workers are newer than the installation
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    old = names(bed.wait_for_workers(name, "rapids-dask-cluster", 2))
    time.sleep(1)  # the workers are older than the annotations
    annotations = ("colocate.dask.org/enabled=true", "colocate.dask.org/targets=resources")
    kubectl("annotate", "namespace", name, *annotations)
    report = document(bed, "--namespace", name)
    assert {worker["pod"]: worker["cause"] for worker in report["not_mutated"]} == dict.fromkeys(
        old, "created-before-the-annotations"
    )
    (issue,) = issues(report)
    apply_fix(bed, issue)
    bed.wait(lambda: not bed.pods(name), name, "the old workers are gone")
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    bed.wait_for_workers(name, "rapids-dask-cluster", 2)
    assert document(bed, "--namespace", name)["exit_status"] == 0


def test_few_permissions(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """With permissions in one namespace its clusters are shown, the rest is not readable, and the status is 2."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace(ENABLED)
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    bed.wait_for_workers(name, "rapids-dask-cluster", 1)
    credentials = reader_of(bed, name)
    report = document(bed, "--namespace", name, kubeconfig=credentials)
    forbidden = {"mutatingwebhookconfigurations", "namespaces", "nodes", "pods"}
    assert {item["resource"] for item in report["unreadable"]} == forbidden
    assert all(item["reason"].startswith("no permission to ") for item in report["unreadable"])
    (cluster,) = report["clusters"]
    assert [worker["state"] for worker in cluster["workers"]] == ["unknown"]
    assert (report["exit_status"], report["not_mutated"], report["findings"]) == (2, [], [])
    everywhere = status(bed, kubeconfig=credentials)
    assert everywhere.returncode == 2
    assert "daskclusters.kubernetes.dask.org: not readable: no permission to list" in everywhere.stdout


def reader_of(bed: Bed, namespace: str) -> Path:
    """Write a kubeconfig with permission to list the pods and DaskClusters of one namespace."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["kubernetes.dask.org"], "resources": ["daskclusters"], "verbs": ["list"]},
    ]
    rights = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    bed.api.create(f"{rights}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    about = {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]}
    bed.api.create(f"{rights}/rolebindings", about)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = bed.api.create(account, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    content = json.loads(bed.plane.kubeconfig.read_text())
    content["users"][0]["user"] = {"token": token}
    path = bed.plane.state / f"{namespace}.kubeconfig"
    path.write_text(json.dumps(content))
    return path


def test_watch_until_interrupted(bed: Bed, webhook: Served) -> None:
    """Each refresh is one line of JSON; Ctrl-C exits with the last status and without a traceback."""
    assert webhook.url
    argv = command(bed.plane.kubeconfig, "--watch", "--output", "json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        assert watching.stderr
        reports = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == reports[-1]["exit_status"]
        assert watching.stderr.read() == ""
    assert reports[0]["at"] < reports[1]["at"]


def test_watch_in_a_terminal(bed: Bed, webhook: Served) -> None:
    """--watch uses the alternate screen, and prints the last report after Ctrl-C."""
    assert webhook.url
    terminal, child_end = pty.openpty()
    argv = command(bed.plane.kubeconfig, "--watch")
    with subprocess.Popen(
        argv, stdin=child_end, stdout=child_end, stderr=child_end, env={**os.environ, "TERM": "xterm"}
    ) as run:
        # A progress message can contain the word too.
        read_until(terminal, ENTER_SCREEN)
        read_until(terminal, "configuration")
        run.send_signal(signal.SIGINT)
        after = read_until(terminal, LEAVE_SCREEN).partition(LEAVE_SCREEN)[2]
        if "configuration" not in after:
            read_until(terminal, "configuration")
        os.close(child_end)  # not earlier: output may be lost when the last process closes this end
        read_until(terminal, None)
        assert run.wait(10) in {0, 1, 2}
    os.close(terminal)


ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"  # the alternate screen


def read_until(terminal: int, word: str | None) -> str:
    """Return the output of a terminal until a word, or until the program ends."""
    text = ""
    while word is None or word not in text:
        assert select.select([terminal], [], [], 60)[0], f"no {word!r} within a minute after {text!r}"
        try:
            text += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # Linux raises it when the other end is closed
            break
    return text


def test_served_page(bed: Bed, webhook: Served, gpu_nodes: list[str]) -> None:
    """--serve serves a page with all nodes on loopback until Ctrl-C."""
    assert webhook.url
    argv = command(bed.plane.kubeconfig, "--serve", "--port", "0")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        url = next(word for word in serving.stdout.readline().split() if word.startswith("http"))
        text = httpx.get(url, trust_env=False).text
        assert all(f'id="node-{name}"' in text for name in gpu_nodes)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) in {0, 1, 2}
