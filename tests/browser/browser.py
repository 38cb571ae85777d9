"""Chromium without a window, and what it has seen."""

import json
import shutil
import tempfile

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--no-default-browser-check", "--window-size=1440,900",
]
PATIENCE = 30

# How much of the view has moved without being asked to.
SHIFTS = """
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (!entry.hadRecentInput) window.shifted = (window.shifted ?? 0) + entry.value;
  }
}).observe({ type: "layout-shift", buffered: true });
"""


class Browser:
    """A fresh profile for each."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="stallwatch-browser-")
        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which("chromium") or shutil.which("chromium-browser")
        for argument in [*ARGUMENTS, f"--user-data-dir={self.profile}"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": SHIFTS})
        self.driver.get("about:blank")
        # What the browser's own first tab asked for.
        self.driver.get_log("performance")
        self.requests = []

    def close(self):
        """Ends it and removes its profile."""
        self.driver.quit()
        shutil.rmtree(self.profile, ignore_errors=True)

    def open(self, address):
        """Loads the page anew."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def all(self, selector):
        """Every element that can be seen."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])].filter((one) => one.checkVisibility())",
            selector)

    def texts(self, selector):
        """What they say; in one go, so that no list changes meanwhile."""
        return self.driver.execute_script(
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((one) => one.checkVisibility()).map((one) => one.textContent)",
            selector)

    def wait(self, what, message):
        """Until `what()` is something; gives that."""
        return WebDriverWait(self.driver, PATIENCE, 0.05).until(lambda _: what(), message)

    def one(self, selector):
        """The element, as soon as it can be seen."""
        return self.wait(lambda: next(iter(self.all(selector)), None), f"nothing is shown that is {selector}")

    def press(self, *keys):
        """Presses keys wherever the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def focused(self):
        """The element with the focus."""
        return self.driver.switch_to.active_element

    def tab_to(self, selector):
        """Presses Tab until the focus is there."""
        for _ in range(60):
            self.press(Keys.TAB)
            if self.driver.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return self.focused()
        raise AssertionError(f"Tab never came to {selector}")

    def hash(self):
        """The route."""
        return self.driver.execute_script("return decodeURIComponent(location.hash)")

    def scheme(self, name):
        """Light or dark."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def requested(self):
        """Every address that was asked for since the start."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.requests.append(message["params"]["request"]["url"])
        return self.requests

    def complaints(self):
        """What stands in the console, but for what a test has provoked itself."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] != "INFO"]
