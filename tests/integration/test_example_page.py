"""The page /api/kafka-example in a real browser, with a real relay and a real worker behind it."""

from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from app_integration.contracts import KafkaTopic
from tests.browser import browser, wait
from tests.conftest import MakeTopic
from tests.integration.edu_matrix import PASSWORD, rows
from tests.integration.edu_world import World


@pytest.fixture
def world(database: str, kafka_brokers: str, make_topic: MakeTopic) -> Iterator[World]:
    names = {topic.value: make_topic(partitions=1) for topic in KafkaTopic}
    with World(database, kafka_brokers, names, ("notification",)) as running:
        yield running


def text(driver: Chrome, selector: str) -> str:
    return "\n".join(found.text for found in driver.find_elements(By.CSS_SELECTOR, selector))


def _shows(driver: Chrome, message: str) -> bool:
    return message in text(driver, "tbody")


def press(driver: Chrome, name: str) -> None:
    """By keyboard, as somebody does who has no mouse."""
    button = driver.find_element(By.ID, name)
    wait(driver, button.is_enabled, f"{name} may be pressed")
    driver.execute_script("arguments[0].focus()", button)
    assert driver.switch_to.active_element.get_attribute("id") == name
    driver.switch_to.active_element.send_keys(Keys.ENTER)


def test_the_page_shows_each_message_from_its_commit_to_its_worker_and_what_is_held(world: World) -> None:
    with browser() as driver:
        driver.get(world.page)
        wait(driver, lambda: text(driver, "#link") == "Live", "live")
        press(driver, "register")
        wait(driver, lambda: text(driver, "tbody").count("+") >= 4, "four messages were published")
        press(driver, "decline")
        wait(driver, lambda: "402: The payment was declined:" in text(driver, "#said"), "declined")
        press(driver, "rollback")
        wait(driver, lambda: "were written, then rolled back" in text(driver, "#said"), "rolled back")
        press(driver, "twice")
        wait(driver, lambda: "one payment and the same answer" in text(driver, "#said"), "one payment")
        wait(driver, lambda: "notification" in text(driver, ".chip"), "the worker has handled it")
        (found,) = rows(world.edu.database_url, 'select partition, "offset" from worker.inbox')
        assert f"p{found[0]} @{found[1]}" in text(driver, ".chip")
        assert text(driver, "#counts").split() == ["Users", "1", "Payments", "1", "Enrolments", "1"]
        assert text(driver, "#empty") == ""
        _hold_and_discard(driver, world)
        logged = driver.get_log("browser")  # type: ignore[no-untyped-call]  # Selenium gives no type
        wrong = [entry for entry in logged if "favicon" not in entry["message"]]
        # Declined payments are answers of 402, which the browser logs; nothing else may be there, above all no
        # violation of the Content-Security-Policy.
        assert [entry["message"] for entry in wrong if " 402 " not in entry["message"]] == []


def _answer(driver: Chrome, act: str) -> None:
    """By keyboard: the list is drawn anew as things change, and the focus stays on the button of the same message."""
    driver.execute_script(f"document.querySelector('#held .{act}').focus()")
    ActionChains(driver).send_keys(Keys.ENTER).perform()


def _hold_and_discard(driver: Chrome, world: World) -> None:
    press(driver, "portrait")
    wait(driver, lambda: "portrait_uploaded.v1" in text(driver, "#held"), "Kafka refuses the portrait")
    driver.execute_script("document.querySelector('#course').selectedIndex = 1")
    press(driver, "buy")
    wait(driver, lambda: text(driver, "#held").count("blocked") == 2, "two events wait behind it")
    _answer(driver, "replay")
    wait(driver, lambda: "is sent again" in text(driver, "#said"), "replayed")
    wait(driver, lambda: "portrait_uploaded.v1" in text(driver, "#held"), "refused again")
    _answer(driver, "discard")
    wait(driver, lambda: not driver.find_element(By.ID, "held-section").is_displayed(), "nothing is held any more")
    acts = "select act from outbox.operator_act order by id"
    assert rows(world.edu.database_url, acts) == [("replay",), ("discard",)]


AUDIT = """
const unnamed = [...document.querySelectorAll('button, select, a')].filter((e) => !e.hidden && e.offsetParent
  && !(e.getAttribute('aria-label') || e.textContent.trim() || (e.labels && e.labels.length)));
const ids = [...document.querySelectorAll('[aria-labelledby]')].filter(
  (e) => !document.getElementById(e.getAttribute('aria-labelledby')));
const lum = (c) => { const v = c.match(/[\\d.]+/g).slice(0, 3).map((x) => x / 255).map(
  (x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4)); return 0.2126*v[0] + 0.7152*v[1] + 0.0722*v[2]; };
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
  if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
const faint = [...document.querySelectorAll('body *')].filter((e) => e.offsetParent && !e.closest(':disabled')
  && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())).filter((e) => {
  const a = lum(getComputedStyle(e).color), b = lum(behind(e));
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5; });
return { unnamed: unnamed.length, ids: ids.length, faint: faint.map((e) => e.outerHTML.slice(0, 90)),
  landmarks: ['header', 'main', 'footer'].filter((n) => !document.querySelector(n)),
  headings: document.querySelectorAll('h1').length, wide: document.documentElement.scrollWidth > innerWidth };
"""


def test_the_page_can_be_used_by_all_in_light_in_dark_and_on_a_telephone(world: World) -> None:
    with httpx.Client(base_url=world.edu.url, timeout=60) as client:
        body = {"email": "<b>@example.com", "name": "<img src=x onerror=alert(1)>", "password": PASSWORD}
        assert client.post("/api/auth/register", json=body).status_code == 422
        client.post("/api/auth/register", json={**body, "email": "ada@example.com"})
        page = client.get("/api/kafka-example")
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert client.get("/api/kafka-example", headers={"if-none-match": page.headers["etag"]}).status_code == 304
        for headers in ({"sec-fetch-site": "cross-site"}, {"content-type": "text/plain"}):
            refused = client.post(
                "/api/kafka-example/discard",
                content=b'{"ids":["00000000-0000-0000-0000-000000000000"]}',
                headers={"content-type": "application/json", **headers},
            )
            assert refused.status_code == 403
        unknown = client.post("/api/kafka-example/replay", json={"ids": ["00000000-0000-0000-0000-000000000000"]})
        assert unknown.status_code == 409
        assert "is not known" in unknown.json()["detail"]
    for width, dark in ((1280, False), (1280, True), (390, False)):
        with browser(width, dark=dark, still=True) as driver:
            driver.get(world.page)
            wait(driver, partial(_shows, driver, "user_registered.v1"), "messages")
            found = driver.execute_script(AUDIT)
            assert found == {"unnamed": 0, "ids": 0, "faint": [], "landmarks": [], "headings": 1, "wide": False}, width
