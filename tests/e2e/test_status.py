"""`dask-colocate status` on a real control plane: pods that were not mutated, and commands that fix findings."""

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
from tests.e2e.status_process import command, document, run_fix, status
from tests.e2e.webhook_process import ENABLED, Served, installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def names(pods: list[Object]) -> set[str]:
    """Return the names of pods."""
    return {pod["metadata"]["name"] for pod in pods}


def test_pods_created_while_the_webhook_was_down_are_listed_and_fixed(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, gpu_nodes: list[str], tmp_path: Path
) -> None:
    """`status` lists exactly the pods created while the webhook was down, and its command fixes them."""
    with installed(bed) as served:
        name = make_namespace(ENABLED)
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2, name="before"))
        mutated = bed.wait_for_workers(name, "before", 2)
        served.process.stop()
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=3, name="while-down"))
        missed = bed.wait_for_workers(name, "while-down", 3)
        served.again(bed)
        done = status(bed, "--output", "json")
        report = json.loads(done.stdout)
        assert {pod["pod"] for pod in report["missed"]} == names(missed)
        assert {pod["cause"] for pod in report["missed"]} == {"webhook-down"}
        (cluster,) = (cluster for cluster in report["clusters"] if cluster["name"] == "before")
        assert {worker["name"]: worker["state"] for worker in cluster["workers"]} == dict.fromkeys(
            names(mutated), "mutated"
        )
        assert set(cluster["nodes"]["used"]) <= set(gpu_nodes)
        assert cluster["nodes"]["fewest"] == len(cluster["nodes"]["used"]) == 1
        assert done.returncode == 1
        (finding,) = (finding for finding in report["findings"] if finding["care"])
        run_fix(bed, finding)
        bed.wait_for_workers(name, "while-down", 3)
        done = status(bed, "--output", "json")
        assert json.loads(done.stdout)["missed"] == []
        assert done.returncode == 0, done.stdout
        page = tmp_path / "status.html"
        assert status(bed, "--html", str(page)).returncode == 0
        text = page.read_text()
        assert all(pod["metadata"]["name"] in text and pod["spec"]["nodeName"] in text for pod in bed.pods(name))


def test_cluster_older_than_the_annotations_is_recreated(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """With `targets: resources` the command deletes the cluster, and no pod is listed after it was created again."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace()
    time.sleep(1)  # timestamps are whole seconds: the workers are younger than the installation,
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    old = names(bed.wait_for_workers(name, "rapids-dask-cluster", 2))
    time.sleep(1)  # and older than the annotations
    annotations = ("colocate.dask.org/enabled=true", "colocate.dask.org/targets=resources")
    kubectl("annotate", "namespace", name, *annotations)
    report = document(bed, "--namespace", name)
    assert {pod["pod"]: pod["cause"] for pod in report["missed"]} == dict.fromkeys(
        old, "created-before-the-annotations"
    )
    (finding,) = (finding for finding in report["findings"] if finding["care"])
    run_fix(bed, finding)
    bed.wait(lambda: not bed.pods(name), name, "the old workers are deleted")
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    bed.wait_for_workers(name, "rapids-dask-cluster", 2)
    assert document(bed, "--namespace", name)["exit_status"] == 0


def test_permissions_in_one_namespace_give_a_partial_report(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """With permissions in one namespace, `status` shows its clusters, lists unreadable resources, and exits with 2."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace(ENABLED)
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    bed.wait_for_workers(name, "rapids-dask-cluster", 1)
    credentials = reader_of(bed, name)
    report = document(bed, "--namespace", name, kubeconfig=credentials)
    forbidden = {"mutatingwebhookconfigurations", "namespaces", "nodes", "pods"}
    assert {source["resource"] for source in report["unread"]} == forbidden
    assert {source["why"].partition(" ")[0] for source in report["unread"]} == {"you"}
    (cluster,) = report["clusters"]
    assert [worker["state"] for worker in cluster["workers"]] == ["unknown"]
    assert (report["exit_status"], report["missed"], report["findings"]) == (2, [], [])
    everywhere = status(bed, kubeconfig=credentials)
    assert everywhere.returncode == 2
    assert "daskclusters.kubernetes.dask.org: you may not list them" in everywhere.stdout


def reader_of(bed: Bed, namespace: str) -> Path:
    """Write a kubeconfig that may list the pods and DaskClusters of one namespace only; return its path."""
    rules = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": ["kubernetes.dask.org"], "resources": ["daskclusters"], "verbs": ["list"]},
    ]
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    bed.api.create(f"{rbac}/roles", {"metadata": {"name": "reader"}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": "default", "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"}
    binding = {"metadata": {"name": "reader"}, "roleRef": role, "subjects": [subject]}
    bed.api.create(f"{rbac}/rolebindings", binding)
    account = f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token"
    token = bed.api.create(account, {"spec": {"expirationSeconds": 3600}})["status"]["token"]
    kubeconfig = json.loads(bed.plane.kubeconfig.read_text())
    kubeconfig["users"][0]["user"] = {"token": token}
    path = bed.plane.state / f"{namespace}.kubeconfig"
    path.write_text(json.dumps(kubeconfig))
    return path


def test_watch_runs_until_interrupted(bed: Bed, webhook: Served) -> None:
    """`--watch` prints a line of JSON for each report; SIGINT ends it with the last exit status and no traceback."""
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
    """`--watch` draws on the alternate screen, and prints the last report to the normal screen after SIGINT."""
    assert webhook.url
    terminal, other_end = pty.openpty()
    argv = command(bed.plane.kubeconfig, "--watch")
    with subprocess.Popen(
        argv, stdin=other_end, stdout=other_end, stderr=other_end, env={**os.environ, "TERM": "xterm"}
    ) as run:
        # On a slow machine the progress line is printed first; it contains the word too.
        read_until(terminal, ENTER_SCREEN)
        read_until(terminal, "configuration")
        run.send_signal(signal.SIGINT)
        output = read_until(terminal, LEAVE_SCREEN).partition(LEAVE_SCREEN)[2]
        if "configuration" not in output:
            read_until(terminal, "configuration")
        os.close(other_end)  # not earlier: the last output may be lost when this end is closed
        read_until(terminal, None)
        assert run.wait(10) in {0, 1, 2}
    os.close(terminal)


ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"  # the alternate screen


def read_until(terminal: int, word: str | None) -> str:
    """Read the output of a terminal until it contains a word, or until the program ends."""
    text = ""
    while word is None or word not in text:
        assert select.select([terminal], [], [], 60)[0], f"no {word!r} within a minute after {text!r}"
        try:
            text += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # EIO: the other end is closed
            break
    return text


def test_served_page_shows_this_cluster(bed: Bed, webhook: Served, gpu_nodes: list[str]) -> None:
    """`--serve` responds on loopback with all nodes, and SIGINT ends it."""
    assert webhook.url
    argv = command(bed.plane.kubeconfig, "--serve", "--port", "0")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        url = serving.stdout.readline().split()[0]
        text = httpx.get(url, trust_env=False).text
        assert all(f'id="node-{name}"' in text for name in gpu_nodes)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) in {0, 1, 2}
