"""`python -m tests.screenshots`: the images of docs/example, of the page at work. Look at them before you commit."""

import sys
import tempfile
from pathlib import Path

from selenium.webdriver.common.by import By

from tests.browser import browser, photograph, wait
from tests.integration.edu_example import Example
from tests.services import REPOSITORY

FOLDER = REPOSITORY / "docs" / "example"

SHOTS = (("light", 1280, False), ("dark", 1280, True), ("narrow", 390, False))


def main() -> int:
    """Start everything, use the page as its readers do, and take its picture."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        example = Example(Path(folder), "--port", "0")
        try:
            page = example.address("Edu Matrix is")
            for name, width, dark in SHOTS:
                _take(page, name, width, dark)
        finally:
            example.stop()
    return 0


def _take(page: str, name: str, width: int, dark: bool) -> None:
    with browser(width, 900, dark=dark, still=True) as driver:
        driver.get(page)

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
        wait(driver, lambda: len(driver.find_elements(By.CSS_SELECTOR, ".chip")) >= 12, "workers have handled them")
        photograph(driver, FOLDER / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
