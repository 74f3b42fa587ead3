"""The page around an answer: the history, the keyboard, both themes, every width, and the drawing of any workflow."""

import json
import re
from typing import Any

import msgspec
import pytest
from page_fakes import (
    ASK_LARGEST,
    LARGEST,
    Gate,
    Site,
    agent,
    answer,
    ask,
    delivery,
    event,
    request_view,
    scripted,
)
from playwright.sync_api import Browser, Page, Route, expect
from sample_workflows import BOOK, FANNED_WITH_SIDE, FORKED, LOOPED, SINGLE

from functions.api.workflows import as_graph
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from functions.workflows.catalog import WORKFLOWS

SHOWN = [*WORKFLOWS.values(), BOOK, FANNED_WITH_SIDE, FORKED, LOOPED, SINGLE]
GZIP = "How do I compress data in one shot?"


def graph_of(workflow: Workflow) -> str:
    """A workflow as the API shows it."""
    return msgspec.json.encode(as_graph(topology(workflow)[workflow.name])).decode()


# -------------------------------------------------------------------------------------------------- history


def test_a_reload_shows_the_conversation_again(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(ask(page, GZIP).locator(".sentence").first).to_contain_text("Compress data")
    expect(ask(page, ASK_LARGEST).locator(".sentence").first).to_contain_text(LARGEST)
    page.reload()
    expect(page.locator(".turn .question")).to_have_text([GZIP, ASK_LARGEST])
    expect(page.locator(".turn").last.locator(".sentence").first).to_contain_text(LARGEST)
    expect(agent(page, "response_builder")).to_contain_text("✓")
    expect(page.locator(".turn").last.get_by_role("rowheader")).to_have_count(6)
    expect(page.locator(".turn").first.locator(".sentence").first).to_contain_text("Compress data")


def test_a_reload_while_the_agents_work_goes_on_watching(page: Page, site: Site, gate: Gate) -> None:
    page.goto(site.url)
    expect(ask(page, ASK_LARGEST)).to_contain_text("At work")
    page.reload()
    expect(agent(page, "retriever")).to_contain_text("running")
    gate.open()
    expect(page.locator(".sentence").first).to_contain_text(LARGEST)
    expect(page.locator(".turn")).to_have_count(1)


def test_what_is_asked_before_the_history_came_stands_below_it(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(ask(page, GZIP).locator(".sentence").first).to_be_visible()
    held: list[Route] = []
    page.route("**/conversations/*/messages", lambda route: held.append(route), times=1)  # noqa: PLW0108
    with page.expect_request("**/conversations/*/messages"):
        page.reload()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method) if request.method == "POST" else None)
    page.get_by_label("Your question").fill(ASK_LARGEST)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_disabled()
    assert sent == []
    held[0].continue_()
    expect(page.locator(".turn .question")).to_have_text([GZIP, ASK_LARGEST])
    expect(page.locator(".turn").last.locator(".sentence").first).to_contain_text(LARGEST)


def test_conversations_are_listed_and_opened_by_their_address(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.goto(site.url)
    expect(ask(page, GZIP).locator(".sentence").first).to_be_visible()
    first = page.url
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_role("heading", name="Ask the documents")).to_be_visible()
    expect(ask(page, ASK_LARGEST).locator(".sentence").first).to_be_visible()
    links = page.get_by_role("navigation", name="Conversations").get_by_role("link")
    expect(links).to_have_text([re.compile(re.escape(ASK_LARGEST)), re.compile(re.escape(GZIP))])
    expect(links.first).to_have_attribute("aria-current", "page")
    links.last.click()
    expect(page.locator(".turn .question")).to_have_text([GZIP])
    assert page.url == first


def test_another_browser_sees_the_same_by_the_address(page: Page, site: Site, browser: Browser) -> None:
    page.goto(site.url)
    expect(ask(page, ASK_LARGEST).locator(".sentence").first).to_be_visible()
    expect(ask(page, GZIP).locator(".sentence").first).to_be_visible()
    elsewhere = browser.new_context()
    other = elsewhere.new_page()
    other.goto(page.url)
    expect(other.locator(".turn .question")).to_have_text([ASK_LARGEST, GZIP])
    expect(other.locator(".turn").last.locator(".sentence").first).to_contain_text("Compress data")
    expect(agent(other, "response_builder")).to_contain_text("✓")
    elsewhere.close()


def test_a_browser_without_room_forgets_and_answers(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(agent(page, "planner")).to_be_visible()
    page.evaluate("for (let size = 2 ** 23; size; size >>= 1) try { localStorage[size] = 'x'.repeat(size) } catch {}")
    expect(ask(page, GZIP).locator(".sentence").first).to_contain_text("Compress data")


def test_what_is_typed_stays_where_it_was_typed(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(ask(page, GZIP).locator(".sentence").first).to_be_visible()
    begun = page.url
    field = page.get_by_label("Your question")
    field.fill("half a question")
    page.get_by_role("button", name="New conversation").click()
    expect(field).to_have_value("")
    field.fill("half of another")
    page.goto(site.url)
    expect(field).to_have_value("half of another")
    page.goto(begun)
    expect(field).to_have_value("half a question")


# ------------------------------------------------------------------------------------------------- keyboard


def test_the_whole_page_is_used_by_keyboard(page: Page, site: Site) -> None:
    page.goto(site.url)
    field = page.get_by_label("Your question")
    expect(field).to_be_focused()
    page.keyboard.type("How do I find")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("the n largest elements in a dataset?")
    expect(field).to_have_value("How do I find\nthe n largest elements in a dataset?")
    page.keyboard.press("Enter")
    expect(page.locator(".sentence").first).to_be_visible()
    expect(field).to_be_focused()
    reached = []
    for _ in range(12):
        page.keyboard.press("Shift+Tab")
        reached.append(
            page.evaluate("document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent")
        )
    assert "Waterfall" in reached
    assert "heapq.nlargest" in reached
    assert any(each.startswith("Source 1: heapq.nlargest, support") for each in reached)
    assert any(each.startswith("orchestrator; done") for each in reached)


def test_the_arrow_keys_move_between_the_agents_and_say_what_each_does(page: Page, site: Site) -> None:
    page.goto(site.url)
    agent(page, "orchestrator").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowRight")
    expect(agent(page, "orchestrator")).to_be_focused()
    expect(page.locator(".graph-line")).to_contain_text("consumes UserMessage or SupportLacking")
    assert page.locator('.agent[tabindex="0"]').count() == 1


def test_escape_closes_the_passage_and_gives_the_focus_back(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(site.url)
    cite = ask(page, ASK_LARGEST).locator(".sentence").first.get_by_role("link")
    cite.focus()
    passage = page.get_by_role("complementary", name="Passage")
    expect(passage).to_be_hidden()
    page.keyboard.press("Enter")
    expect(passage.locator("mark")).to_have_text(LARGEST)
    page.get_by_role("button", name="Close the passage").focus()
    page.keyboard.press("Escape")
    expect(passage).to_be_hidden()
    expect(cite).to_be_focused()


def test_the_list_of_conversations_opens_and_closes_where_there_is_little_room(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(site.url)
    button = page.get_by_role("button", name="Conversations")
    expect(page.get_by_role("navigation")).to_be_hidden()
    button.click()
    expect(page.get_by_role("navigation", name="Conversations")).to_be_visible()
    expect(button).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.get_by_role("navigation")).to_be_hidden()
    expect(button).to_be_focused()


# ----------------------------------------------------------------------------------------- widths and themes

LONG_NAME = "a.very.long.dotted.name.without.any.place.to.break." * 3
FULL = answer(
    f"Sure: A sentence. [1] Another, longer sentence of the answer. [2]\n{LONG_NAME}",
    citations=[{"number": n, "passage": f"p{n}", "name": f"{n}.{LONG_NAME}", "source": LONG_NAME} for n in (1, 2)],
    sentences=[
        {"text": "A sentence.", "citation": 1, "support": 1.0},
        {"text": "Another, longer sentence of the answer.", "citation": 2, "support": 0.5},
    ],
    notes=[f"Left out: {LONG_NAME}."],
    degraded=True,
)
DELIVERIES = [
    delivery("orchestrator"),
    delivery("planner", attempts=2, error=f"TimeoutError: {LONG_NAME}"),
    delivery("retriever", attempts=3, error="DownError", failed=True),
    delivery("validator", finished=None),
    delivery("summarizer", finished=None, error="DownError"),
    delivery("response_builder", error="superseded: the request was settled"),
]
CONTRAST = """
() => {
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return { rgb: [r, g, b], a };
  };
  const luminance = (rgb) => {
    const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => {
    const box = node.closest(".agent")?.querySelector("rect:last-of-type");
    if (box) return parse(getComputedStyle(box).fill).rgb;
    for (let at = node; at; at = at.parentElement) {
      const { rgb, a } = parse(getComputedStyle(at).backgroundColor);
      if (a === 1) return rgb;
    }
  };
  const low = [];
  let seen = 0;
  for (const node of document.querySelectorAll("body *")) {
    const isText = [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
    if (!isText || !node.checkVisibility() || node.closest("title, option, .hidden, .skip, :disabled")) continue;
    seen += 1;
    const style = getComputedStyle(node);
    const own = parse(node.closest("svg") ? style.fill : style.color).rgb;
    const [one, other] = [luminance(own), luminance(behind(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) low.push(`${node.outerHTML.slice(0, 120)}: ${ratio.toFixed(2)}`);
  }
  return { seen, low };
}
"""


@pytest.fixture
def full_page(page: Page, site: Site) -> Page:
    """A page on which every kind of text is seen."""
    end = request_view("settled", answer=FULL, deliveries=DELIVERIES, tokens=10, micros=10)
    scripted(page, site, event("request", request_view()) + event("settled", end, "settled"))
    page.route("**/passages/p1", lambda route: route.fulfill(json={"text": f"A sentence. {LONG_NAME}"}))
    expect(ask(page, f"Is it? {LONG_NAME}").locator(".making")).to_be_visible()
    page.route("**/conversations/*/messages", _refuse)
    page.get_by_label("Your question").fill("Wrong?")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("everything")
    return page


def _refuse(route: Route) -> None:
    wrong = [{"pointer": "/text", "detail": f"is everything that is wrong {LONG_NAME}"}]
    route.fulfill(status=422, json={"status": 422, "detail": "1 thing is wrong", "errors": wrong})


def test_every_text_stands_out_from_what_is_behind_it(full_page: Page) -> None:
    full_page.set_viewport_size({"width": 1440, "height": 900})
    full_page.locator("details.agents").evaluate("details => { details.open = true; }")
    expect(agent(full_page, "validator")).to_be_visible()
    full_page.locator(".cite").first.click()
    expect(full_page.locator("mark")).to_be_visible()
    grounds = set()
    for scheme in ("light", "dark"):
        full_page.emulate_media(color_scheme=scheme)
        contrast = full_page.evaluate(CONTRAST)
        assert contrast["low"] == []
        assert contrast["seen"] > 60
        grounds.add(full_page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2


def test_nothing_is_wider_than_the_window(full_page: Page) -> None:
    for _ in ("close", "open"):  # what the reader opened stays open
        full_page.locator("details.agents summary").click()
    for width in (320, 640, 1000, 1440):
        full_page.set_viewport_size({"width": width, "height": 700})
        expect(agent(full_page, "validator")).to_be_visible()
        assert full_page.evaluate("document.documentElement.scrollWidth") <= width
        box = full_page.get_by_role("button", name="Ask", exact=True).bounding_box()
        assert box is not None
        assert 0 <= box["x"] <= width - box["width"]


def test_the_answer_is_in_sight_once_it_is_there_on_a_small_screen(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(site.url)
    turn = ask(page, ASK_LARGEST)
    expect(turn.locator(".sentence").first).to_be_in_viewport()
    expect(turn.locator("details.agents")).not_to_have_attribute("open", re.compile(".*"))


def test_what_was_just_asked_stands_at_the_top(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(ask(page, GZIP).locator(".sentence").first).to_be_visible()
    expect(ask(page, ASK_LARGEST).locator(".sentence").first).to_be_visible()
    expect(page.locator(".turn").last.locator(".question")).to_be_in_viewport()
    expect(page.locator(".turn").first.locator(".question")).not_to_be_in_viewport()


def test_nothing_moves_for_whoever_wants_less_motion(page: Page, site: Site, gate: Gate) -> None:
    page.goto(site.url)
    ask(page, ASK_LARGEST)
    expect(agent(page, "retriever")).to_contain_text("running")
    moving = "document.getAnimations().length"
    assert page.evaluate(moving) == 0
    page.emulate_media(reduced_motion="no-preference")
    assert page.evaluate(moving) > 0
    gate.open()


def test_what_can_be_used_has_a_name_and_the_page_its_landmarks(full_page: Page) -> None:
    for landmark in ("banner", "main", "complementary"):
        expect(full_page.get_by_role(landmark)).to_have_count(1)  # type: ignore[arg-type]
    unnamed = full_page.locator("button, input, select, textarea, a, summary, [tabindex='0']").evaluate_all(
        """
        (all) => all
          .filter((each) => !(each.labels?.length || each.getAttribute("aria-label") || each.textContent.trim()))
          .map((each) => each.outerHTML)
        """
    )
    assert unnamed == []
    ids = full_page.evaluate("[...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))


# ------------------------------------------------------------------------------------------- any workflow


LAYOUT = """
async ([graph, sizes]) => {
  const { layOut } = await import("/page/layout.js");
  const plan = layOut(graph, sizes);
  return { nodes: Object.fromEntries(plan.nodes), edges: plan.edges, layers: plan.layers, cross: plan.cross };
}
"""
BARE = "{}/healthz"  # what is no page, and may still import the page's modules
SIZES = {"node": 90, "gap": 30, "across": 64, "lane": 26}


def test_agents_stand_apart_and_every_way_leads_on_or_is_known_to_lead_back(page: Page, site: Site) -> None:
    page.goto(BARE.format(site.url))
    for workflow in SHOWN:
        graph = json.loads(graph_of(workflow))
        _is_laid_out(graph, page.evaluate(LAYOUT, [graph, SIZES]))


def _is_laid_out(graph: dict[str, Any], plan: dict[str, Any]) -> None:
    nodes = plan["nodes"]
    assert nodes.keys() == {each["name"] for each in graph["agents"]}
    for name, one in nodes.items():
        assert 0 <= one["cross"] <= plan["cross"]
        for other_name, other in nodes.items():
            if name != other_name and one["layer"] == other["layer"]:
                assert abs(one["cross"] - other["cross"]) >= SIZES["across"] - 1e-6
    for edge in plan["edges"]:
        start, end = nodes[edge["from"]]["layer"], nodes[edge["to"]]["layer"]
        assert (end <= start) == edge["back"]
        assert edge["back"] or len(edge["points"]) == end - start - 1
    emitted = {
        (a["name"], b["name"])
        for a in graph["agents"]
        for b in graph["agents"]
        if {*a["emits"], *a["fans_out"]} & {*b["consumes"]}
    }
    assert {(edge["from"], edge["to"]) for edge in plan["edges"]} == emitted


def test_a_way_back_is_the_one_that_closes_the_cycle(page: Page, site: Site) -> None:
    page.goto(BARE.format(site.url))
    plan = page.evaluate(LAYOUT, [json.loads(graph_of(WORKFLOWS["answer"])), SIZES])
    assert [(edge["from"], edge["to"]) for edge in plan["edges"] if edge["back"]] == [("validator", "orchestrator")]


def test_any_workflow_is_drawn(page: Page, site: Site) -> None:
    graphs = {workflow.name: json.loads(graph_of(workflow)) | {"takes_messages": True} for workflow in (BOOK, LOOPED)}
    page.route("**/workflows", lambda route: route.fulfill(json={"workflows": list(graphs.values())}))
    page.goto(site.url)
    for width in (320, 1440):
        page.set_viewport_size({"width": width, "height": 900})
        for name, graph in graphs.items():
            page.get_by_role("combobox", name="Workflow").select_option(name)
            expect(page.locator(".agent")).to_have_count(len(graph["agents"]))
            expect(page.locator(".edge.back")).to_have_count(1)
    page.reload()
    expect(page.get_by_role("combobox", name="Workflow")).to_have_value("looped")


# ------------------------------------------------------------------------------------------- event streams


def test_a_stream_is_read_however_it_is_cut(page: Page, site: Site) -> None:
    page.goto(BARE.format(site.url))
    found = page.evaluate(
        """
        async () => {
          const { EventParser } = await import("/page/stream.js");
          const text = ": hello\\n\\nid: r:1\\nevent: a\\ndata: one\\ndata:two\\n\\n" +
            "event: b\\r\\ndata\\r\\n\\r\\nid: r:2\\rdata: three\\r\\revent: lost\\ndata: never";
          const read = (pieces) => {
            const parser = new EventParser();
            return JSON.stringify(pieces.flatMap((piece) => parser.feed(piece)));
          };
          const ways = [[...text]];
          for (let at = 0; at <= text.length; at += 1) ways.push([text.slice(0, at), text.slice(at)]);
          return [...new Set(ways.map(read))].map(JSON.parse);
        }
        """
    )
    assert found == [
        [
            {"type": "a", "data": "one\ntwo", "id": "r:1"},
            {"type": "b", "data": "", "id": "r:1"},
            {"type": "message", "data": "three", "id": "r:2"},
        ]
    ]
