"""Asking on the page: the answer, the passages behind it, the agents at work, and what goes wrong."""

import re
from collections.abc import Callable

from page_fakes import (
    ASK_LARGEST,
    LARGEST,
    PATIENCE_S,
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
from playwright.sync_api import BrowserContext, Page, expect

from functions.errors import PermanentError
from functions.events.common import Passage
from functions.ports.requests import Limits

KEY = "a-key-of-this-test"


# --------------------------------------------------------------------------------------- answers and passages


def test_a_question_is_answered_with_its_sources_and_how_it_was_made(page: Page, site: Site) -> None:
    page.goto(site.url)
    turn = ask(page, ASK_LARGEST)
    expect(turn.locator(".sentence").filter(has_text=LARGEST)).to_be_visible()
    expect(turn.get_by_role("heading", name="Sources")).to_be_visible()
    expect(turn.locator(".sources li").first).to_contain_text("heapq.nlargest")
    expect(turn.locator(".sources li").first).to_contain_text("python:heapq")
    expect(turn.locator(".sources li").first).to_contain_text("support 100%")
    expect(turn.locator(".making")).to_contain_text("without a language model")
    expect(page.get_by_label("Your question")).to_have_value("")
    expect(page.get_by_role("status")).to_contain_text("Answer ready")


def test_a_sentence_shows_the_passage_that_it_stands_in(page: Page, site: Site) -> None:
    page.goto(site.url)
    sentence = ask(page, ASK_LARGEST).locator(".sentence").filter(has_text=LARGEST)
    expect(sentence).to_be_visible()
    passage = page.get_by_role("complementary", name="Passage")
    link = sentence.get_by_role("link")
    for look in (sentence.hover, link.focus, link.click):
        page.get_by_label("Your question").press("Escape")
        expect(passage).to_contain_text("Point at a sentence")
        look()
        expect(passage.get_by_role("heading", name="heapq.nlargest")).to_be_visible()
        expect(passage.locator("mark")).to_have_text(LARGEST)
        expect(passage).to_contain_text("See also")
        expect(passage).to_contain_text("100% of the sentence's words stand in this passage")
        expect(sentence).to_have_class(re.compile(r"\bshown\b"))


def test_a_report_has_headings_quotations_and_sentences_with_several_sources(page: Page, site: Site) -> None:
    sources = [
        {"number": n, "passage": passage, "name": name, "source": "s", "reference": f"Author, {name}."}
        for n, passage, name in ((1, "heap", "heapq.nlargest"), (2, "gzip", "gzip.compress"))
    ]
    report = answer(
        f"1. Heaps\nheapq.nlargest: “{LARGEST}” [1]\n\n2. Data [sic]\nBoth do. [2] [1] And [7] nobody says.",
        citations=sources,
        sentences=[
            {"text": LARGEST, "citation": 1, "support": 1.0},
            {"text": "Both do.", "citation": 2, "support": 0.5, "also": [1]},
        ],
    )
    scripted(page, site, event("settled", request_view("settled", answer=report), "settled"))
    turn = ask(page, "Report?")
    expect(turn.locator(".answer > h3")).to_have_text(["1. Heaps", "2. Data [sic]"])
    expect(turn.locator(".answer > p").first).to_have_text(f"heapq.nlargest: “{LARGEST}”1")
    expect(turn.locator(".answer > p").nth(1)).to_have_text("Both do.21 And [7] nobody says.")
    expect(turn.locator(".sources li").first).to_contain_text("Author, heapq.nlargest.")
    both = turn.locator(".sentence").nth(1).get_by_role("link")
    for link, name in zip(both.all(), ("gzip.compress", "heapq.nlargest"), strict=True):
        link.focus()
        expect(page.get_by_role("complementary").get_by_role("heading", name=name)).to_be_visible()
        expect(page.get_by_role("complementary")).to_contain_text("50%")


def test_what_was_remembered_is_shown_from_the_memories(page: Page, site: Site) -> None:
    page.goto(site.url)
    expect(ask(page, "Remember that our deploy day is Thursday.").locator(".answer")).to_contain_text("Remembered")
    sentence = ask(page, "Which day is our deploy day?").locator(".sentence").filter(has_text="Thursday")
    sentence.get_by_role("link").click()
    expect(page.get_by_role("complementary").locator("mark")).to_contain_text("Thursday")


def test_a_passage_that_is_gone_is_said_to_be(page: Page, site: Site) -> None:
    page.goto(site.url)
    page.route("**/collections/**", lambda route: route.fulfill(status=404, json={"status": 404, "title": "Not Found"}))
    ask(page, ASK_LARGEST)
    expect(page.get_by_role("complementary")).to_contain_text("not there any more")


def test_a_hostile_document_stays_text(page: Page, serve: Callable[..., Site]) -> None:
    name, text = "<img src=x onerror=window.taken=1>", "The <b>zebra</b> <script>window.taken=1</script> is striped."
    hostile = Passage(id="../x?y#z", name=name, source='"><svg onload=window.taken=1>', text=text)
    page.goto(serve(documents=[hostile]).url)
    turn = ask(page, "Is the zebra <i>striped</i>?")
    turn.locator(".sentence").first.get_by_role("link").click()
    passage = page.get_by_role("complementary")
    expect(passage.get_by_role("heading", name=name)).to_be_visible()
    expect(passage.locator(".passage-text")).to_have_text(text)
    expect(turn.get_by_role("heading", level=2)).to_have_text("Is the zebra <i>striped</i>?")
    made = "main img, main script, main i, main b, aside img, aside script, aside b, nav i, aside svg"
    assert page.locator(made).count() == 0
    assert page.evaluate("window.taken") is None


def test_a_degraded_answer_says_what_failed(page: Page, site: Site) -> None:
    def fail(_: str) -> None:
        raise PermanentError("the shelf is down")

    site.documents.during = fail
    page.goto(site.url)
    turn = ask(page, ASK_LARGEST)
    expect(turn.locator(".degraded")).to_contain_text("Something failed on the way")
    expect(turn.locator(".degraded")).to_contain_text("the shelf is down")
    expect(agent(page, "retriever")).to_have_attribute("data-state", "failed")
    expect(turn.get_by_role("table")).to_contain_text("failed: the shelf is down")


# ------------------------------------------------------------------------------------------- agents at work


def test_the_agents_are_seen_at_work(page: Page, site: Site, gate: Gate) -> None:
    page.goto(site.url)
    expect(agent(page, "retriever")).to_have_attribute("data-state", "idle")
    turn = ask(page, ASK_LARGEST)
    expect(agent(page, "retriever")).to_contain_text("running")
    expect(agent(page, "orchestrator")).to_contain_text("✓")
    expect(agent(page, "validator")).to_contain_text("waiting")
    expect(turn).to_contain_text("At work")
    gate.open()
    expect(agent(page, "response_builder")).to_contain_text("✓")
    expect(agent(page, "retriever")).to_have_accessible_name(re.compile("retriever; done"))
    expect(agent(page, "action")).to_contain_text("not needed")


def test_parts_of_a_fan_out_are_counted(page: Page, site: Site, gate: Gate) -> None:
    page.goto(site.url)
    ask(page, "How do I sort a list? How do I compress data?")
    expect(agent(page, "retriever")).to_contain_text("0/3")
    gate.open()
    expect(agent(page, "retriever")).to_contain_text("3/3")


def test_the_waterfall_is_a_table_of_the_deliveries(page: Page, site: Site) -> None:
    page.goto(site.url)
    table = ask(page, ASK_LARGEST).get_by_role("table")
    expect(table.get_by_role("rowheader")).to_have_text(
        [re.compile(name) for name in ("orchestrator", "planner", "retriever", "validator", "summarizer", "response")]
    )
    planner = table.get_by_role("row", name="planner")
    expect(planner.get_by_role("cell").first).to_have_text("QuestionAsked")
    expect(planner.get_by_role("cell").last).to_have_text("1")
    wide = table.locator(".bar").evaluate_all("bars => bars.every((bar) => bar.getBoundingClientRect().width >= 2)")
    assert wide


def test_a_retry_and_a_failure_are_told_apart(page: Page, site: Site) -> None:
    done = delivery("planner", attempts=2, error="TimeoutError: slow")
    lost = delivery("retriever", attempts=3, error="DownError: the shelf is down", failed=True)
    error = {"agent": "retriever", "reason": "DownError: the shelf is down"}
    end = request_view("settled", error=error, deliveries=[done, lost])
    scripted(page, site, event("request", request_view()) + event("settled", end, "settled"))
    turn = ask(page, ASK_LARGEST)
    expect(turn.get_by_role("alert")).to_contain_text("No answer: retriever failed. DownError: the shelf is down")
    expect(agent(page, "planner")).to_have_accessible_name(re.compile("done after a retry; attempt 2"))
    expect(agent(page, "retriever")).to_have_accessible_name(re.compile("retriever; failed; attempt 3"))
    expect(agent(page, "validator")).to_contain_text("not reached")
    turn.get_by_role("button", name="Ask again").click()
    expect(page.locator(".turn")).to_have_count(2)


def test_the_next_message_waits_for_the_one_before(page: Page, site: Site, gate: Gate) -> None:
    page.goto(site.url)
    first = ask(page, ASK_LARGEST)
    expect(first).to_contain_text("At work")
    second = ask(page, "How do I compress data in one shot?")
    expect(second).to_contain_text("Waits for the message before it")
    gate.open()
    expect(second.locator(".sentence").first).to_contain_text("Compress data")
    expect(first.locator(".sentence").first).to_contain_text(LARGEST)


# ------------------------------------------------------------------------------------- models, broken streams


def test_the_text_of_a_model_grows_and_a_later_attempt_begins_anew(page: Page, site: Site) -> None:
    def piece(attempt: int, position: int, text: str) -> dict[str, object]:
        return {"agent": "summarizer", "attempt": attempt, "position": position, "text": text}

    script = scripted(
        page,
        site,
        event("request", request_view())
        + event("tokens", piece(1, 0, "Nonsense"), 1)
        + event("tokens", piece(2, 0, "A 🦓 is"), 2)
        + event("tokens", piece(1, 8, "more nonsense"), 3),
        event("tokens", piece(2, 6, " str"), 4) + event("tokens", piece(2, 10, "iped <b>."), 5),
    )
    turn = ask(page, "What is a zebra?")
    expect(turn.locator(".draft-text")).to_have_text("A 🦓 is striped <b>.")
    expect(turn.locator(".draft")).to_contain_text("summarizer writes, attempt 2")
    assert script.asked[:2] == [None, "r1:3"]


def test_a_broken_stream_is_taken_up_where_it_broke(page: Page, site: Site) -> None:
    first = event("request", request_view()) + event("delivery", delivery("planner"), 7) + "id: r1:8\nevent: deliv"
    end = request_view("settled", answer=answer("All is well."))
    script = scripted(page, site, first, event("request", request_view()), event("settled", end, "settled"))
    expect(ask(page, "Is all well?").locator(".answer")).to_contain_text("All is well.")
    assert script.asked == [None, "r1:7", "r1:7"]


def test_a_lost_connection_is_said_and_mended(page: Page, site: Site, gate: Gate) -> None:
    page.route("**/requests/*/events", lambda route: route.abort())
    page.goto(site.url)
    turn = ask(page, ASK_LARGEST)
    expect(turn).to_contain_text("Connection lost, trying again")
    page.unroute("**/requests/*/events")
    gate.open()
    expect(turn.locator(".sentence").first).to_contain_text(LARGEST)
    expect(turn).not_to_contain_text("Connection lost")


def test_what_a_model_cost_is_said(page: Page, site: Site) -> None:
    made = answer("Yes.", making={"method": "model", "model": "small-1", "rounds": 2})
    end = request_view("settled", answer=made, tokens=1830, micros=412)
    scripted(page, site, event("settled", end, "settled"))
    making = ask(page, "Is it?").locator(".making")
    expect(making).to_contain_text("model small-1")
    expect(making).to_contain_text("2 rounds")
    expect(making).to_contain_text("1,830 tokens, $0.000412")


# ------------------------------------------------------------------------------------- refused, busy, offline


def test_everything_that_is_wrong_is_said_and_the_text_stays(page: Page, site: Site) -> None:
    page.goto(site.url)
    long = "a" * 20_001
    field = page.get_by_label("Your question")
    field.fill(long)
    field.press("Enter")
    expect(page.get_by_role("alert").get_by_role("listitem")).to_contain_text("text:")
    expect(field).to_have_value(long)
    expect(field).to_be_editable()
    page.reload()
    expect(field).to_have_value(long)


def test_a_message_comes_again_when_the_server_has_room(page: Page, serve: Callable[..., Site]) -> None:
    site = serve(limits=Limits(open=1))
    gate = Gate()
    site.documents.during = gate
    page.goto(site.url)
    first = ask(page, ASK_LARGEST)
    expect(first).to_contain_text("At work")
    assert gate.reached.wait(PATIENCE_S)
    with page.expect_response(lambda response: response.status == 429):
        second = ask(page, "How do I compress data in one shot?")
    expect(page.get_by_label("Your question")).to_have_value("How do I compress data in one shot?")
    expect(page.get_by_role("alert")).to_contain_text("It is sent again in")
    gate.open()
    expect(second.locator(".sentence").first).to_contain_text("Compress data")
    expect(page.get_by_label("Your question")).to_have_value("")


def test_a_message_that_waits_can_be_kept_back(page: Page, site: Site) -> None:
    page.goto(site.url)
    busy = {"title": "Too Many Requests", "status": 429, "detail": "400 requests are open: come again"}
    page.route(
        "**/conversations/*/messages",
        lambda route: (
            route.fulfill(status=429, headers={"Retry-After": "600"}, json=busy)
            if route.request.method == "POST"
            else route.fallback()
        ),
    )
    field = page.get_by_label("Your question")
    field.fill("Later?")
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("400 requests are open: come again. It is sent again in 600 s.")
    page.get_by_role("button", name="Do not send").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(field).to_be_editable()
    expect(field).to_have_value("Later?")


def test_offline_is_said_and_the_message_goes_once_when_that_is_over(
    page: Page, site: Site, context: BrowserContext
) -> None:
    page.goto(site.url)
    expect(agent(page, "planner")).to_be_visible()
    context.set_offline(offline=True)
    expect(page.locator("#connection")).to_have_text("Offline")
    field = page.get_by_label("Your question")
    field.fill(ASK_LARGEST)
    field.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("You are offline. It is sent once you are online.")
    expect(field).to_have_value(ASK_LARGEST)
    context.set_offline(offline=False)
    expect(page.locator(".sentence").first).to_contain_text(LARGEST)
    expect(page.locator(".turn")).to_have_count(1)
    expect(page.locator("#connection")).to_be_hidden()


def test_every_attempt_to_send_a_message_has_the_same_idempotency_key(page: Page, site: Site) -> None:
    script = scripted(page, site, event("settled", request_view("settled", answer=answer("Once.")), "settled"))
    expect(agent(page, "planner")).to_be_visible()
    page.route("**/conversations/*/messages", script.lose, times=1)
    ask(page, "Once?")
    expect(page.locator(".turn .answer")).to_contain_text("Once.")
    (first, second) = script.posted
    assert first == second
    assert first[1]


def test_a_server_with_keys_is_asked_with_the_one_that_is_given(page: Page, serve: Callable[..., Site]) -> None:
    page.goto(serve(keys={"default": KEY}).url)
    dialog = page.get_by_role("dialog", name="An API key is needed")
    dialog.get_by_label("API key").fill("a-wrong-key-of-this-test")
    dialog.get_by_role("button", name="Use this key").click()
    expect(dialog).to_contain_text("This key was refused")
    dialog.get_by_label("API key").fill(KEY)
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    expect(ask(page, ASK_LARGEST).locator(".sentence").first).to_contain_text(LARGEST)
    assert page.evaluate("[...Object.values(localStorage)].join()").find(KEY) == -1
    page.reload()
    expect(page.locator(".sentence").first).to_contain_text(LARGEST)
