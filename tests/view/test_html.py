"""The HTML report in a real browser: headless Chromium, with clicks and keys."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from graphdebug.log.reader import LogFile
from graphdebug.log.writer import LogWriter
from graphdebug.model.run import Run
from graphdebug.model.store import MemoryStore
from graphdebug.view.compare import compare
from graphdebug.view.html import html
from graphdebug.view.report import report
from tests.view.conftest import FINDING, make_events

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
EVIL = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"


@pytest.fixture(scope="module")
def browser():
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        sync_playwright = None
    if sync_playwright is None or CHROMIUM is None:
        missing = "playwright (pip install playwright)" if CHROMIUM else "Chromium (apt-get install chromium)"
        if os.environ.get("CI"):
            pytest.fail(f"the HTML report must be tested in a browser here: there is no {missing}")
        pytest.skip(f"the HTML report is tested in a browser: there is no {missing}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A report in a tab, with everything the page complained about or asked for."""

    def __init__(self, browser, path: Path, text: str, **options):
        path.write_text(text, "utf-8")
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page = browser.new_page(viewport={"width": 1400, "height": 900}, **options)
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def tab(self, name):
        self.page.get_by_role("tab", name=name, exact=True).click()


@pytest.fixture
def opened(browser, tmp_path) -> Iterator:
    pages = []

    def open_report(text, **options):
        pages.append(Opened(browser, tmp_path / f"report{len(pages)}.html", text, **options))
        return pages[-1]

    yield open_report
    for one in pages:
        assert one.complaints == []
        assert [url for url in one.requests if not url.startswith("file:///")] == []
        assert len(one.requests) == 1
        one.page.close()


def wait_for_rows(page, count):
    from playwright.sync_api import expect

    expect(page.locator(".rows .row")).to_have_count(count)


def run_of(events):
    return Run(MemoryStore(events), diagnose=lambda _: [FINDING])


def test_the_finding_comes_first_and_the_culprit_is_chosen(opened, run):
    page = opened(html([report(run, "run.jsonl")])).page
    assert page.locator(".finding pre").inner_text().startswith("graphdebug: NaN is born in log, at net.py:10")
    assert page.locator("header .status").inner_text().startswith("failed after 3 steps")
    assert page.locator("#panel-0 aside h2").inner_text() == "linear: raised RuntimeError"
    assert page.get_by_role("tab", selected=True).inner_text() == "Graph"


def test_the_graph_shows_the_path_and_its_modules_open_and_close(opened, run):
    page = opened(html([report(run, "run.jsonl")])).page
    assert page.locator(".canvas g.path").count() >= 2
    assert page.locator(".canvas .edge.path").count() >= 1
    boxes = page.locator(".canvas g.item").count()
    page.get_by_role("button", name="Close all").click()
    closed = page.locator('.canvas g[data-id="module:fc"]')
    assert closed.count() == 1
    assert page.locator(".canvas g.item").count() < boxes
    closed.focus()
    page.keyboard.press("Enter")
    assert page.locator(".canvas g.item").count() == boxes
    page.locator('.canvas g[data-id="31"]').click()
    assert page.locator("#panel-0 aside h2").inner_text() == "#31 log"
    page.get_by_label("Colour by").select_option("gradient")
    assert page.locator('.canvas g[data-id="30"]').count() == 1


def test_the_table_searches_sorts_and_leads_to_producers(opened, run):
    one = opened(html([report(run, "run.jsonl")]))
    one.tab("Nodes")
    page = one.page
    assert page.get_by_role("status").inner_text() == "15 nodes"
    page.get_by_label("Search nodes").fill("function:log step:2")
    wait_for_rows(page, 2)
    page.locator(".rows .row").first.click()
    assert page.locator("#panel-3 aside h2").inner_text() == "#31 log"
    page.locator("#panel-3 aside").get_by_text("#30 linear").click()
    assert page.locator("#panel-3 aside h2").inner_text() == "#30 linear"
    page.get_by_label("Search nodes").fill("")
    wait_for_rows(page, 15)
    page.get_by_label("Sort by l2").click()
    page.get_by_label("Sort by l2").click()
    assert page.locator(".rows .row").first.get_attribute("data-seq") == "13"
    page.get_by_label("not finite only").check()
    assert page.locator(".rows .row").count() == 4


def test_source_and_steps_are_shown(opened, run):
    one = opened(html([report(run, "run.jsonl")]))
    one.tab("Source")
    assert one.page.locator(".source tr.fault").inner_text().split("\t")[1].strip() == "x = torch.log(x)"
    one.tab("Steps")
    assert one.page.locator(".heat rect.cell").count() == 3
    assert one.page.locator(".chart .u-title").inner_text() == "fc: output over steps"
    one.page.get_by_label("Norms of").select_option("activation")
    assert one.page.locator(".heat rect.cell").count() == 3


def test_tabs_follow_the_arrow_keys_and_the_theme_changes(opened, run):
    page = opened(html([report(run, "run.jsonl")]), color_scheme="dark").page
    page.get_by_role("tab", name="Graph").focus()
    page.keyboard.press("ArrowRight")
    assert page.get_by_role("tab", selected=True).inner_text() == "Source"
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_label("Change between light and dark").click()
    assert page.evaluate(ground) == "rgb(255, 255, 255)" != dark


def test_nothing_from_a_log_executes(opened):
    import msgspec

    texts = msgspec.json.encode(make_events()).decode()
    for word in (
        "fc",
        "Net.forward",
        "aten::log",
        "x = torch.log(x)",
        "train.py",
        "RuntimeError",
        "a compiled region",
    ):
        texts = texts.replace(word, word + EVIL)
    from graphdebug.log.codec import decode

    events = [decode(msgspec.json.encode(one)) for one in msgspec.json.decode(texts)]
    evil = msgspec.structs.replace(FINDING, text=f"graphdebug: {EVIL}\n{EVIL}")
    run = Run(MemoryStore(events), diagnose=lambda _: [evil])
    one = opened(html([report(run, EVIL), report(run, EVIL)], compare(run, run)))
    for tab in one.page.get_by_role("tab").all():
        tab.click()
    one.page.wait_for_timeout(200)
    assert one.page.evaluate("window.hacked") is None
    assert one.page.locator("img").count() == 0
    assert one.page.locator("body script").count() == 3
    assert EVIL in one.page.locator(".compare").first.inner_text() or EVIL in one.page.inner_text("body")


def test_two_runs_stand_side_by_side(opened):
    events = make_events()
    good = run_of(events)
    wide = [one for one in events if one.seq < 40]
    import msgspec

    from tests.view.conftest import fact

    changed = [
        msgspec.structs.replace(one, outputs=(fact(8, 3),)) if getattr(one, "function", "") == "linear" else one
        for one in wide
    ]
    other = Run(MemoryStore(changed))
    one = opened(html([report(good, "a.jsonl"), report(other, "b.jsonl")], compare(good, other)))
    assert one.page.get_by_role("tab", selected=True).inner_text() == "Comparison"
    text = one.page.locator("#panel-0").inner_text()
    assert "the first difference is at linear net.py:9: shape 8x2 against 8x3" in text
    assert one.page.locator(".compare tr.differs").count() == 1
    one.tab("Nodes B")
    assert one.page.locator(".rows .row:visible").count() == 15


def test_a_large_table_stays_fluid(opened, tmp_path):
    from benchmarks.make_log import write

    path = tmp_path / "large.jsonl"
    write(path, 117_000, 12, nan=True)
    large = Run(LogFile(path))
    one = opened(html([report(large, "large.jsonl", most_nodes=100_000)]))
    one.tab("Nodes")
    assert "nodes: those of" in one.page.get_by_role("status").inner_text()
    rows = one.page.locator(".rows .row").count()
    assert 20 < rows < 80
    frame = """async () => {
        const rows = document.querySelector('.rows'); const times = [];
        for (let at = 0; at < 20; at++) {
            const began = performance.now(); rows.scrollTop += 40000;
            await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
            times.push(performance.now() - began);
        }
        return [times.sort((a, b) => a - b)[10], Number(rows.querySelector('.row').dataset.seq)]; }"""
    _, seq = one.page.evaluate(frame)
    assert seq > 20_000
    one.page.get_by_label("Search nodes").fill("health:nan function:log1p step:463")
    found = one.page.get_by_role("status").filter(has_text="24 found of")
    found.wait_for()


def test_a_report_of_an_empty_run_says_so(opened, tmp_path):
    path = tmp_path / "empty.jsonl"
    writer = LogWriter(path)
    writer.write(make_events()[:1])
    writer.close()
    one = opened(html([report(Run(LogFile(path)), "empty.jsonl")]))
    assert "not finished: the log has no end" in one.page.locator("header").inner_text()
    one.tab("Steps")
    assert "No layer has statistics" in one.page.inner_text("body")


def test_a_static_run_is_aligned_with_a_dynamic_one():
    import msgspec

    from graphdebug.model.event import Node
    from tests.view.conftest import fact

    def static(event):
        if not isinstance(event, Node):
            return event
        layout = {"linear": "matmul"}.get(event.function, event.function)
        made = tuple(fact(2, 8, l2=9.0) if event.function == "log" else one for one in event.outputs)
        changes = {"function": layout, "mode": "session", "step": event.step + 1, "module": "", "outputs": made}
        return msgspec.structs.replace(event, seq=event.seq + 100, **changes)

    start = make_events()[0]
    init = msgspec.structs.replace(make_events()[4], seq=90, function="fill", family="fill")
    other = Run(MemoryStore([start, init, *(static(one) for one in make_events()[4:16])]))
    found = compare(run_of(make_events()), other)
    assert [(row.left.seq, row.right.seq, row.kind) for row in found.rows] == [
        (10, 110, "same"), (11, 111, "differs"), (12, 112, "same"),
    ]  # fmt: skip
    assert found.said == (
        "Forward nodes of step 0 against step 1: the first difference is at log net.py:10: l2 3 against 9"
    )
