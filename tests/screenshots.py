"""`python -m tests.screenshots`: the images of docs/example, of the page at work. Look at them before you commit."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from selenium.webdriver.common.by import By

from app_integration.contracts import PLANS
from relay import migrate
from relay.local.services import services
from tests.browser import browser, photograph, wait
from tests.integration.edu_world import WORKERS, World
from tests.services import REPOSITORY

FOLDER = REPOSITORY / "docs" / "example"

SHOTS = (("light", 1280, False), ("dark", 1280, True), ("narrow", 390, False))


def main() -> int:
    """Start everything, use the page as its readers do, and take its picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        running = stack.enter_context(services(folder))
        migrate.upgrade(running.database_url)
        admin = AdminClient({"bootstrap.servers": running.kafka_brokers})
        for made in admin.create_topics([NewTopic(name, plan.partitions, 1) for name, plan in PLANS.items()]).values():
            made.result(30)
        names = {topic.value: topic.value for topic in PLANS}
        world = stack.enter_context(World(running.database_url, running.kafka_brokers, names, tuple(WORKERS)))
        for name, width, dark in SHOTS:
            _take(world, name, width, dark)
    return 0


def _take(world: World, name: str, width: int, dark: bool) -> None:
    with browser(width, 900, dark=dark, still=True) as driver:
        driver.get(world.page)

        def press(button: str, then: str, where: str = "#said") -> None:
            found = driver.find_element(By.ID, button)
            wait(driver, found.is_enabled, button)
            driver.execute_script("arguments[0].click()", found)
            wait(driver, lambda: then in driver.find_element(By.CSS_SELECTOR, where).text, then)

        press("register", "is registered")
        press("decline", "402")
        press("rollback", "rolled back")
        press("twice", "one payment")
        press("portrait", "portrait_uploaded.v1", "#held")
        driver.execute_script("document.querySelector('#course').selectedIndex = 1")
        press("buy", "blocked", "#held")
        wait(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, ".chip")) >= 8, "workers have handled them")
        photograph(driver, FOLDER / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
