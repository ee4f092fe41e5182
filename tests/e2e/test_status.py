"""`status` on a real control plane: it names who was missed, and its commands mend that."""

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
from tests.e2e.status_process import command, document, mended, status
from tests.e2e.webhook_process import ENABLED, Served, installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.bed.api import Object
    from tests.e2e.bed.bed import Bed
    from tests.e2e.conftest import Kubectl, NamespaceFactory


def names(pods: list[Object]) -> set[str]:
    """The names of pods."""
    return {pod["metadata"]["name"] for pod in pods}


def test_status_names_who_was_missed_and_its_command_mends_it(
    bed: Bed, kubectl: Kubectl, make_namespace: NamespaceFactory, gpu_nodes: list[str], tmp_path: Path
) -> None:
    """Exactly the pods made while the webhook was down are named; after the command that is given, none is."""
    with installed(bed) as served:
        name = make_namespace(ENABLED)
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2, name="before"))
        good = bed.wait_for_workers(name, "before", 2)
        served.process.stop()
        kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=3, name="while-down"))
        missed = bed.wait_for_workers(name, "while-down", 3)
        served.again(bed)
        done = status(bed, "--output", "json")
        found = json.loads(done.stdout)
        assert {each["pod"] for each in found["missed"]} == names(missed)
        assert {each["cause"] for each in found["missed"]} == {"webhook-down"}
        (cluster,) = (each for each in found["clusters"] if each["name"] == "before")
        assert {worker["name"]: worker["state"] for worker in cluster["workers"]} == dict.fromkeys(
            names(good), "mutated"
        )
        assert set(cluster["nodes"]["used"]) <= set(gpu_nodes)
        assert cluster["nodes"]["fewest"] == len(cluster["nodes"]["used"]) == 1
        assert done.returncode == 1
        (finding,) = (each for each in found["findings"] if each["care"])
        mended(bed, finding)
        bed.wait_for_workers(name, "while-down", 3)
        done = status(bed, "--output", "json")
        assert json.loads(done.stdout)["missed"] == []
        assert done.returncode == 0, done.stdout
        page = tmp_path / "status.html"
        assert status(bed, "--html", str(page)).returncode == 0
        text = page.read_text()
        assert all(pod["metadata"]["name"] in text and pod["spec"]["nodeName"] in text for pod in bed.pods(name))


def test_cluster_from_before_the_annotations_is_made_anew(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """Where pods are left alone (`targets: resources`) the command ends the cluster; made again, none is missed."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace()
    time.sleep(1)  # the API server's dates are whole seconds: the workers are younger than the installation,
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    old = names(bed.wait_for_workers(name, "rapids-dask-cluster", 2))
    time.sleep(1)  # and older than the annotations
    annotations = ("colocate.dask.org/enabled=true", "colocate.dask.org/targets=resources")
    kubectl("annotate", "namespace", name, *annotations)
    found = document(bed, "--namespace", name)
    assert {each["pod"]: each["cause"] for each in found["missed"]} == dict.fromkeys(
        old, "created-before-the-annotations"
    )
    (finding,) = (each for each in found["findings"] if each["care"])
    mended(bed, finding)
    bed.wait(lambda: not bed.pods(name), name, "the old workers are gone")
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=2))
    bed.wait_for_workers(name, "rapids-dask-cluster", 2)
    assert document(bed, "--namespace", name)["exit_status"] == 0


def test_who_may_read_little_reads_that(
    bed: Bed, kubectl: Kubectl, webhook: Served, make_namespace: NamespaceFactory, gpu_nodes: list[str]
) -> None:
    """With rights in one namespace alone the rest is named as not read, its clusters are shown, and the status is 2."""
    assert webhook.url
    assert gpu_nodes
    name = make_namespace(ENABLED)
    kubectl("apply", "-n", name, "-f", "-", stdin=manifest("cluster", workers=1))
    bed.wait_for_workers(name, "rapids-dask-cluster", 1)
    credentials = reader_of(bed, name)
    found = document(bed, "--namespace", name, kubeconfig=credentials)
    refused = {"mutatingwebhookconfigurations", "namespaces", "nodes", "pods"}
    assert {each["resource"] for each in found["unread"]} == refused
    assert {each["why"].partition(" ")[0] for each in found["unread"]} == {"you"}
    (cluster,) = found["clusters"]
    assert [worker["state"] for worker in cluster["workers"]] == ["unknown"]
    assert (found["exit_status"], found["missed"], found["findings"]) == (2, [], [])
    everywhere = status(bed, kubeconfig=credentials)
    assert everywhere.returncode == 2
    assert "daskclusters.kubernetes.dask.org: you may not list them" in everywhere.stdout


def reader_of(bed: Bed, namespace: str) -> Path:
    """Credentials that may list the pods and DaskClusters of one namespace, and nothing else."""
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
    written = json.loads(bed.plane.kubeconfig.read_text())
    written["users"][0]["user"] = {"token": token}
    path = bed.plane.state / f"{namespace}.kubeconfig"
    path.write_text(json.dumps(written))
    return path


def test_watch_goes_on_until_interrupted(bed: Bed, webhook: Served) -> None:
    """Each look is a line of JSON; an interrupt ends it with the last look's status and without a traceback."""
    assert webhook.url
    argv = command(bed.plane.kubeconfig, "--watch", "--output", "json")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout
        assert watching.stderr
        looks = [json.loads(watching.stdout.readline()) for _ in range(2)]
        watching.send_signal(signal.SIGINT)
        assert watching.wait(10) == looks[-1]["exit_status"]
        assert watching.stderr.read() == ""
    assert looks[0]["at"] < looks[1]["at"]


def test_watch_in_a_terminal(bed: Bed, webhook: Served) -> None:
    """It takes the screen, draws the report, and leaves the last one behind when it is interrupted."""
    assert webhook.url
    ours, theirs = pty.openpty()
    argv = command(bed.plane.kubeconfig, "--watch")
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}) as run:
        # On a slow machine what is being read is told before, and its name has the word too.
        read_until(ours, TAKES_SCREEN)
        read_until(ours, "configuration")
        run.send_signal(signal.SIGINT)
        behind = read_until(ours, LEAVES_SCREEN).partition(LEAVES_SCREEN)[2]
        if "configuration" not in behind:
            read_until(ours, "configuration")
        os.close(theirs)  # not before: what is written last may be lost with the last holder of this end
        read_until(ours, None)
        assert run.wait(10) in {0, 1, 2}
    os.close(ours)


TAKES_SCREEN, LEAVES_SCREEN = "\x1b[?1049h", "\x1b[?1049l"  # the alternate one


def read_until(terminal: int, word: str | None) -> str:
    """What a terminal shows until a word is there, or until its program ends."""
    text = ""
    while word is None or word not in text:
        assert select.select([terminal], [], [], 60)[0], f"no {word!r} within a minute after {text!r}"
        try:
            text += os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # what Linux says once nobody holds the other end
            break
    return text


def test_served_page_shows_this_cluster(bed: Bed, webhook: Served, gpu_nodes: list[str]) -> None:
    """`--serve` answers on loopback with the nodes there are, and an interrupt ends it."""
    assert webhook.url
    argv = command(bed.plane.kubeconfig, "--serve", "--port", "0")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        url = serving.stdout.readline().split()[0]
        text = httpx.get(url, trust_env=False).text
        assert all(f'id="node-{name}"' in text for name in gpu_nodes)
        serving.send_signal(signal.SIGINT)
        assert serving.wait(10) in {0, 1, 2}
