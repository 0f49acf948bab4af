"""A real Chromium, headless, with a profile of its own."""

import base64
import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from selenium.common.exceptions import TimeoutException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
)

SECONDS = 60.0


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900, *, dark: bool = False, still: bool = False) -> Iterator[Chrome]:
    """Open a browser; `dark` and `still` are what its user prefers: dark pages, and nothing that moves."""
    programs = shutil.which("chromium"), shutil.which("chromedriver")
    if None in programs:
        pytest.fail("the page is tried in a real browser: apt-get install chromium chromium-driver", pytrace=False)
    options = ChromeOptions()
    options.binary_location = str(programs[0])
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(flag)
        driver = Chrome(options, ChromeService(str(programs[1])))
        try:
            features = [
                {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
                {"name": "prefers-reduced-motion", "value": "reduce" if still else "no-preference"},
            ]
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            yield driver
        finally:
            driver.quit()


def wait(driver: Chrome, found: Callable[[], object], what: str) -> None:
    """Wait until something is so on the page."""
    try:
        WebDriverWait(driver, SECONDS, 0.1).until(lambda _: found())
    except TimeoutException:
        shown = driver.find_element(By.TAG_NAME, "body").text
        raise AssertionError(f"never: {what}; the page shows:\n{shown}") from None


def photograph(driver: Chrome, path: Path, most: int = 2_600) -> None:
    """Save the page as an image, from its top, down to `most` pixels."""
    width, height = driver.execute_script("return [innerWidth, document.documentElement.scrollHeight]")
    clip = {"x": 0, "y": 0, "width": width, "height": min(height, most), "scale": 1}
    wanted = {"captureBeyondViewport": True, "format": "png", "clip": clip}
    taken = driver.execute_cdp_cmd("Page.captureScreenshot", wanted)
    path.write_bytes(base64.b64decode(taken["data"]))
