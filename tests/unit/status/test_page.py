"""Status page in the installed Chromium, headless."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Self

import httpx
import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from tests.unit.status.factories import WorkerPod, cluster, installed, namespace, node, snapshot
from tests.unit.status.large_cluster import LargeCluster
from webhook.policy.defaults import SettingsError
from webhook.status.page import page
from webhook.status.report import report
from webhook.status.serving import ReportCache, create_app, listen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from webhook.status.model import Report

Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start the installed Chromium."""
    executable = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if executable is None:
        pytest.skip("NOT RUN: there is no Chromium on the PATH: apt-get install chromium")
    # Chromium's sandbox needs user namespaces, which root in a container does not have.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=executable, args=flags)
        yield chromium
        chromium.close()


@dataclass
class Tab:
    """An open page.

    Attributes:
        page: The page.
        requests: URLs that it requested.
        errors: Errors and warnings of its console and exceptions of its script.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Record requests and errors from now on."""
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.errors.append(line.text) if line.type in {"error", "warning"} else None,
        )


def open_tab(browser: Browser, url: str, scheme: Scheme = "light", width: int = 1440) -> Tab:
    """Load a URL in a new tab."""
    tab = Tab(browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme))
    tab.watch()
    tab.page.goto(url)
    return tab


def write_page(folder: Path, result: Report) -> str:
    """Write the page of a report to a file and return its URL."""
    file = folder / "status.html"
    file.write_text(page(result), encoding="utf-8")
    return file.as_uri()


def test_map_shows_each_worker_on_its_node(browser: Browser, tmp_path: Path) -> None:
    """A node has a cell for each GPU and each worker without a GPU, with its cluster's label, and lists its pods."""
    large = LargeCluster()
    snapshot = large.snapshot()
    result = report(snapshot)
    tab = open_tab(browser, write_page(tmp_path, result))
    of_node = (
        "[...node.querySelectorAll('i')].map(cell => [cell.dataset.cluster || '', cell.innerText, cell.className])"
    )
    nodes = tab.page.eval_on_selector_all(".node", f"nodes => nodes.map(node => [node.id, {of_node}])")
    labels = {cluster.title: cluster.label for cluster in result.clusters}
    workers = [pod for pod in snapshot.pods if pod["metadata"]["labels"].get("dask.org/component")]
    expected = Counter(
        (
            f"node-{pod['spec']['nodeName']}",
            f"{pod['metadata']['namespace']}/{pod['metadata']['labels']['dask.org/cluster-name']}",
        )
        for pod in workers
    )
    assert Counter((node, title) for node, cells in nodes for title, _, _ in cells if title) == expected
    assert all(text == labels[title] for _, cells in nodes for title, text, _ in cells if title)
    assert all(sum(" no-gpu" not in classes for _, _, classes in cells) == large.gpus for _, cells in nodes)
    for pod in workers:
        text = tab.page.locator(f"#node-{pod['spec']['nodeName']} .hidden").text_content()
        assert text is not None
        assert pod["metadata"]["name"] in text
    assert tab.errors == []


def test_file_sends_no_request(browser: Browser, tmp_path: Path) -> None:
    """The page as a file sends no request, and its policy allows none."""
    tab = open_tab(browser, write_page(tmp_path, report(LargeCluster().snapshot())))
    tab.page.wait_for_timeout(300)
    assert tab.requests == [tab.page.url]
    assert tab.errors == []
    assert tab.page.evaluate("fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'blocked')") == "blocked"
    assert any("Content Security Policy" in line for line in tab.errors)


def test_thousand_nodes_render_within_two_seconds(
    browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1,000 nodes with 8 GPUs each take less than 2 s of CPU time of the page's thread until they are drawn.

    CPU time does not depend on the load of the machine; the wall time is printed.
    """
    large = LargeCluster(racks=50, nodes=20, gpus=8, clusters=700)
    url = write_page(tmp_path, report(large.snapshot()))
    drawn = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
    tab = browser.new_page(viewport={"width": 1440, "height": 1000})
    session = tab.context.new_cdp_session(tab)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    tab.goto(url)
    wall = tab.evaluate(drawn)
    metrics = {metric["name"]: metric["value"] for metric in session.send("Performance.getMetrics")["metrics"]}
    assert tab.locator(".node").count() == 1000
    assert tab.locator(".node .gpus i").count() == 8000
    with capsys.disabled():
        cpu = metrics["TaskDuration"]
        sys.stdout.write(f"\n1,000 nodes, 8,000 GPUs: {cpu:.2f} s of CPU time, drawn after {wall / 1000:.2f} s\n")
    assert 0 < cpu < 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 480])
def test_axe_finds_nothing(browser: Browser, tmp_path: Path, scheme: Scheme, width: int) -> None:
    """Axe finds no accessibility issue, in light and dark, on a wide and a narrow screen."""
    tab = open_tab(browser, write_page(tmp_path, report(LargeCluster().snapshot())), scheme, width)
    result: dict[str, Any] = Axe().run(tab.page).response
    violations = [
        (item["impact"], item["id"], [node["html"][:200] for node in item["nodes"][:2]])
        for item in result["violations"]
    ]
    assert violations == []
    assert len(result["passes"]) > 20


def test_text_from_the_cluster_is_escaped(browser: Browser, tmp_path: Path) -> None:
    """Markup in names, labels and annotations is shown as text."""
    evil = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>"
    rapids = namespace("rapids", gpu_limit=evil)
    pods = (
        WorkerPod(name=evil, node=evil, cluster=evil).pod(),
        WorkerPod(name="w", node=evil, cluster=evil, mutated=False).pod(),
    )
    nodes = (node(evil, zone=evil),)
    tab = open_tab(browser, write_page(tmp_path, report(snapshot(nodes=nodes, pods=pods, namespaces=(rapids,)))))
    assert tab.errors == []
    assert tab.page.locator("img, script").count() == 1  # the page's own script
    assert evil in (tab.page.locator(".node .hidden").text_content() or "")
    assert evil in tab.page.locator("button.pick .title").inner_text()


def test_keyboard(browser: Browser, tmp_path: Path) -> None:
    """The map is one tab stop; arrow keys move between nodes and racks and describe the node."""
    tab = open_tab(browser, write_page(tmp_path, report(LargeCluster().snapshot())))
    assert tab.page.locator('.node[tabindex="0"]').count() == 1
    tab.page.locator(".node").first.focus()
    for key, name in (("ArrowDown", "00-01"), ("ArrowRight", "01-01"), ("End", "05-07"), ("Home", "00-00")):
        tab.page.keyboard.press(key)
        assert (tab.page.locator(".detail").text_content() or "").startswith(f"gpu-pool-{name}: 8 GPUs")
    assert tab.page.locator('.node[tabindex="0"]').count() == 1


def test_show_one_cluster(browser: Browser, tmp_path: Path) -> None:
    """A cluster's button dims the cells of all others; Escape ends that."""
    tab = open_tab(browser, write_page(tmp_path, report(LargeCluster().snapshot())))
    button = tab.page.locator("button.pick").first
    button.press("Enter")
    title = button.get_attribute("value")
    assert button.get_attribute("aria-pressed") == "true"
    opaque = "cells => cells.filter(cell => getComputedStyle(cell).opacity === '1').map(cell => cell.dataset.cluster)"
    assert set(tab.page.eval_on_selector_all(".node .cells i", opaque)) == {title}
    tab.page.keyboard.press("Escape")
    assert button.get_attribute("aria-pressed") == "false"
    assert None in tab.page.eval_on_selector_all(".node .cells i", opaque)


# ---- served ---------------------------------------------------------------------------------------


class Server(uvicorn.Server):
    """uvicorn in a thread, on a free port of loopback."""

    def __init__(self, reports: ReportCache) -> None:
        """Create the server; pages refresh each second."""
        super().__init__(uvicorn.Config(create_app(reports, every=1), host="127.0.0.1", port=0, log_level="warning"))
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self.run)

    async def startup(self, sockets: Any = None) -> None:  # noqa: ANN401 - uvicorn's
        """Signal that the server listens."""
        await super().startup(sockets)
        self._ready.set()

    @property
    def url(self) -> str:
        """Return the URL of the page."""
        return f"http://127.0.0.1:{self.servers[0].sockets[0].getsockname()[1]}/"

    def __enter__(self) -> Self:
        """Start the thread."""
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread."""
        self.should_exit = True
        self._thread.join()


def test_served_page_updates_itself(browser: Browser) -> None:
    """A new cluster appears without a reload, the focus stays, and only the page's own server gets requests."""
    base = {"nodes": tuple(node(name) for name in "ab"), "webhook": installed()}
    reports = [report(snapshot(**base, pods=(WorkerPod(name="w1").pod(),)))]
    with Server(ReportCache(lambda: reports[0])) as server:
        tab = open_tab(browser, server.url)
        tab.page.locator("#node-a").focus()
        pods = (WorkerPod(name="w1").pod(), WorkerPod(name="w2", node="b", cluster="late", mutated=False, gpus=0).pod())
        reports[0] = report(snapshot(**base, pods=pods, clusters=(cluster(), cluster("late"))))
        tab.page.wait_for_selector('#node-b i[data-cluster="rapids/late"]', timeout=10_000)
        assert tab.page.locator("#summary").inner_text() == "1 issue found"
        assert tab.page.evaluate("document.activeElement.id") == "node-a"
        assert set(tab.requests) == {server.url}
        assert tab.errors == []
        tab.page.close()


def test_server_accepts_only_loopback() -> None:
    """Other host names, methods and paths are rejected; the page cannot be framed or cached."""
    with Server(ReportCache(lambda: report(snapshot()))) as server, httpx.Client(trust_env=False) as client:
        response = client.get(server.url)
        assert response.status_code == 200
        assert "frame-ancestors 'none'" in response.headers["content-security-policy"]
        assert response.headers["cache-control"] == "no-store"
        assert client.get(server.url, headers={"Host": "evil.example"}).status_code == 400
        assert client.post(server.url).status_code == 405
        assert client.get(f"{server.url}docs").status_code == 404


def test_port_in_use() -> None:
    """A port in use is an error that names the option."""
    with listen(0) as first, pytest.raises(SettingsError, match="choose another port with --port"):
        listen(first.getsockname()[1])
