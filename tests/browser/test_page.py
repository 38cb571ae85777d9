"""What the page of the admin listener promises, in Chromium against the demo.

Usage: test_page.py BINARY FOLDER-FOR-SCREENSHOTS
"""

import os
import re
import sys
import unittest

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from browser import Browser
from demo import Demo
from gate import Gate

BINARY, SCREENSHOTS = sys.argv[1:3]
VIEWS = ["stalls", "exceptions", "exceptions/open", "package", "partitions", "policies"]


def of_three(answer):
    """As one of several instances would answer."""
    answer["partitions"] = answer["partitions"][:3]
    answer["complete"] = False


class Live(unittest.TestCase):
    """While the feed runs. Everything is tried on one running demo, in the order of this file."""

    @classmethod
    def setUpClass(cls):
        cls.demo = Demo(BINARY)
        cls.addClassCleanup(lambda: cls.demo.process.poll() is None and cls.demo.process.kill())

    def setUp(self):
        self.browser = Browser()
        self.addCleanup(self.browser.close)

    def visit(self, route=""):
        """Loads the page with this route."""
        self.browser.open(f"{self.demo.origin}/{route}")

    def in_order(self):
        """Nothing was asked of anybody else, and nothing is complained about."""
        foreign = [address for address in self.browser.requested()
                   if not address.startswith((self.demo.origin + "/", "data:", "about:", "chrome://"))]
        self.assertEqual(foreign, [])
        self.assertIn(f"{self.demo.origin}/page/app.js", self.browser.requested())
        self.assertEqual(self.browser.complaints(), [])

    def test_1_an_exception_appears_without_reload(self):
        self.visit("#/exceptions")
        self.browser.driver.execute_script("window.sameAsBefore = true")
        key = ".events tbody a.number"
        first = self.browser.one(key).get_attribute("data-key")
        newest = self.browser.wait(
            lambda: (now := self.browser.driver.execute_script(
                "return document.querySelector(arguments[0]).dataset.key", key)) != first and now,
            "no further exception appeared")
        published = {f"{event['exception_id']}:{event['sequence']}"
                     for event in self.demo.ask("events", limit=1000)["events"]}
        self.assertIn(newest, published)
        self.assertTrue(self.browser.driver.execute_script("return window.sameAsBefore"))
        self.assertEqual(self.browser.texts(".live"), ["live"])
        self.in_order()

    def test_2_rows_do_not_move_under_the_focus(self):
        self.visit("#/exceptions")
        self.browser.one(".events tbody a.number")
        self.browser.driver.execute_script("document.querySelector('.events tbody a.number').focus()")
        before = self.browser.texts(".events tbody a.number")
        waiting = self.browser.one(".waiting")
        self.assertRegex(waiting.text, r"^Show \S+ new$")
        self.assertEqual(self.browser.texts(".events tbody a.number"), before)
        waiting.click()
        self.browser.wait(lambda: self.browser.texts(".events tbody a.number") != before, "nothing new was shown")
        self.in_order()

    def time_shown(self):
        """The time in the strip under the header, in UTC."""
        title = self.browser.driver.execute_script("return document.querySelector('#clock').title")
        found = re.search(r"(\S{10}T\S{8}) UTC$", title)
        return f"{found[1]}Z" if found else ""

    def test_3_views_that_ask_nothing_again_keep_the_time_of_the_service(self):
        self.visit("#/package")
        for _ in range(3):
            there = self.demo.ask("partitions")["at"]
            self.browser.wait(lambda there=there: self.time_shown() >= there, "the clock is behind")
        self.browser.driver.execute_script("location.hash = '#/exceptions/open?severity=critical'")
        self.browser.one(".opened tbody tr")
        silent = self.browser.texts(".opened .c-silent")
        self.assertEqual([text for text in silent if "h" not in text and "d" not in text], [],
                         "nothing is critical after less than hours")
        self.in_order()

    def test_4_the_demo_ends(self):
        self.demo.wait_for_the_end()

    def test_filters_show_only_what_they_name_and_stand_in_the_address(self):
        self.visit("#/exceptions")
        self.browser.one(".events tbody tr")
        everything = set(self.browser.texts(".events .c-carrier"))
        self.assertGreater(len(everything), 1)
        carrier = self.browser.one("#filter-carrier")
        carrier.send_keys("UPS", Keys.ENTER)
        Select(self.browser.one("#filter-change")).select_by_value("resolved")
        Select(self.browser.one("#filter-severity")).select_by_value("warning")
        self.assertEqual(self.browser.hash(), "#/exceptions?carrier=ups&severity=warning&change=resolved")
        shown = lambda name: set(self.browser.texts(f".events .c-{name}"))
        self.browser.wait(lambda: shown("carrier") == {"ups"}, "other carriers are shown")
        self.assertEqual((shown("change"), shown("severity")), ({"resolved"}, {"warning"}))
        expected = self.demo.ask("events", carrier="ups", change="resolved", severity="warning", limit=300)
        self.assertEqual(self.browser.texts(".events tbody a.number"),
                         [event["tracking_number"] for event in expected["events"]])
        self.browser.driver.refresh()
        self.browser.wait(lambda: shown("carrier") == {"ups"}, "the address does not keep the filters")
        next(one for one in self.browser.all(".filters button") if one.text == "Clear").click()
        self.browser.wait(lambda: shown("carrier") == everything, "the filters were not cleared")
        self.in_order()

    def test_what_is_open_comes_page_by_page_until_all_is_there(self):
        expected, cursor = set(), ""
        while cursor is not None:
            page = self.demo.ask("exceptions", limit=500, cursor=cursor)
            expected |= {one["exception_id"] for one in page["exceptions"]}
            cursor = page["cursor"]
        self.visit("#/exceptions/open")
        self.browser.one(".opened tbody tr")
        while more := self.browser.all(".more button"):
            before = len(self.browser.texts(".opened tbody a.number"))
            more[0].click()
            self.browser.wait(lambda: len(self.browser.texts(".opened tbody a.number")) > before
                              or not self.browser.all(".more button"), "nothing more came")
        keys = self.browser.driver.execute_script(
            "return [...document.querySelectorAll('.opened tbody a.number')].map(a => a.dataset.key.split(':')[0])")
        self.assertEqual(len(keys), len(set(keys)))
        self.assertEqual(set(keys), expected)
        self.in_order()

    def test_the_heat_table_is_the_summary(self):
        self.visit()
        self.browser.one(".heat")
        rows = self.demo.ask("summary", by="carrier,facility")["rows"]
        cells = self.browser.driver.execute_script(
            "return [...document.querySelectorAll('.heat a.shade')].map(a => [a.dataset.key, a.firstChild.textContent])")
        key = lambda row: f"{row['carrier']}\n{row['facility'] if row['facility'] is not None else 'null'}"
        self.assertEqual(dict(cells), {key(row): f"{row['open']:,}" for row in rows})
        carriers = self.demo.ask("summary", by="carrier")["rows"]
        self.assertEqual(self.browser.texts(".tile.open data"), [f"{sum(row['open'] for row in carriers):,}"])
        row = rows[0]
        self.browser.driver.execute_script(
            "[...document.querySelectorAll('.heat a.shade')].find((a) => a.dataset.key === arguments[0]).click()",
            key(row))
        place = row["facility"] if row["facility"] is not None else "-"
        self.assertEqual(self.browser.hash().replace("+", " "), f"#/exceptions/open?carrier={row['carrier']}&facility={place}")
        self.browser.wait(lambda: len(self.browser.texts(".opened tbody a.number")) == min(row["open"], 100)
                          or row["open"] > 100, "the list is not what the cell counts")
        self.in_order()

    def test_a_package_is_looked_up_with_its_life_line_and_every_deadline(self):
        one = self.demo.ask("exceptions", kind="no_movement")["exceptions"][0]
        carrier, number = one["carrier"], one["tracking_number"]
        known = self.demo.ask(f"packages/{carrier}/{number}")["packages"][0]
        self.visit()
        self.browser.one("#look-up-carrier").send_keys(carrier)
        self.browser.one("#look-up-number").send_keys(number[:4].lower(), " ", number[4:].lower())
        self.browser.one("#look-up button").click()
        self.browser.one(".life svg")
        self.assertEqual(self.browser.texts(".card h2 a.number"), [number])
        self.assertEqual(self.browser.texts(".deadlines .state"), [step["state"] for step in known["deadlines"]])
        self.assertEqual(len(self.browser.driver.find_elements(By.CSS_SELECTOR, ".life path.deadline")), len(known["deadlines"]))
        self.assertEqual(len(self.browser.driver.find_elements(By.CSS_SELECTOR, ".life path.now, .life path.forgotten, .life circle.anchor")), 3)
        self.assertTrue(self.browser.texts(".why")[0].startswith(known["why"].split(" since ")[0]))
        self.assertIn(one["severity"], self.browser.one(".card .pill").get_attribute("class"))
        times = self.browser.driver.execute_script("return [...document.querySelectorAll('.deadlines time')].map(t => t.dateTime)")
        self.assertEqual(times, [time for step in known["deadlines"] for time in (step["deadline"], step["due"])])
        # The address can be handed on.
        self.browser.open(f"{self.demo.origin}/#/package/{carrier}/{number}")
        self.browser.one(".life svg")
        self.visit("#/package/ups/1Z999AA10123456784")
        self.browser.wait(lambda: self.browser.texts(".why") == ["This package is not known."], "an unknown package is not called so")
        self.in_order()

    def test_texts_of_the_feed_are_never_markup(self):
        rows = self.demo.ask("summary", by="carrier,facility")["rows"]
        facility = next(row["facility"] for row in rows if row["facility"])
        gate = Gate(self.demo.origin)
        self.addCleanup(gate.stop)
        markup = "<img src=x onerror=alert(1)><b>Köln</b>"
        gate.replaced = (facility, markup)
        self.browser.open(gate.origin)
        self.browser.one(".heat")
        self.assertIn(markup, self.browser.texts(".heat tbody th"))
        self.assertEqual(self.browser.driver.find_elements(By.CSS_SELECTOR, "main img, main b"), [])
        self.assertEqual(self.browser.complaints(), [])

    def test_what_is_inline_or_from_elsewhere_is_refused_and_complained_about(self):
        self.visit()
        self.browser.one(".heat")
        self.in_order()
        self.browser.driver.execute_script("""
            const script = document.createElement("script");
            script.textContent = "window.ran = true";
            document.body.append(script);
            const image = document.createElement("img");
            image.src = "http://192.0.2.1/picture.png";
            document.body.append(image);
        """)
        complaints = self.browser.wait(lambda: self.browser.complaints(), "nothing was complained about")
        self.assertIn("Content Security Policy", complaints[0])
        self.assertIsNone(self.browser.driver.execute_script("return window.ran"))

    def test_everything_can_be_reached_with_keys_alone(self):
        self.visit()
        browser = self.browser
        browser.one(".heat")
        browser.press(Keys.TAB)
        self.assertEqual(browser.focused().text, "Skip to the content")
        browser.press(Keys.ENTER)
        self.assertEqual(browser.focused().get_attribute("id"), "main")
        cell = browser.tab_to(".heat a")
        self.assertNotEqual(cell.value_of_css_property("outline-style"), "none")
        browser.press(Keys.ARROW_DOWN)
        cell = browser.focused()
        self.assertEqual(cell.get_attribute("data-column"), "0")
        self.assertNotEqual(cell.get_attribute("data-row"), "0")
        browser.press(Keys.ENTER)
        browser.wait(lambda: browser.hash().startswith("#/exceptions/open?carrier="), "Enter did not open the cell")
        browser.one(".opened tbody a.number")
        first = browser.tab_to(".opened a.number").text
        numbers = browser.texts(".opened tbody a.number")
        self.assertEqual(first, numbers[0])
        browser.press(Keys.END)
        self.assertEqual(browser.focused().text, numbers[-1])
        browser.press(Keys.HOME, Keys.ENTER)
        browser.one(".life svg")
        self.assertEqual(browser.texts(".card h2 a.number"), [first])
        browser.press("/")
        self.assertEqual(browser.focused().get_attribute("id"), "look-up-number")
        browser.press("1Z0", Keys.ENTER)
        browser.wait(lambda: "1Z0" in browser.hash(), "Enter did not look the package up")
        for key, view in zip("12345", ["stalls", "exceptions", "package", "partitions", "policies"]):
            browser.press(key)
            browser.wait(lambda view=view: browser.all(f"#{view}"), f"{key} does not lead to {view}")
            self.assertEqual(browser.texts("#views [aria-current]"), [view.capitalize()])
        browser.press("?")
        browser.one("#help")
        browser.press(Keys.ESCAPE)
        browser.wait(lambda: not browser.all("#help"), "Esc does not close the keys")

    def test_views_do_not_jump_while_they_fill(self):
        for view in VIEWS:
            self.visit(f"#/{view}")
            self.browser.wait(lambda: self.browser.texts("#coverage") != [""], f"{view} was not filled")
            self.browser.wait(lambda: not any("Asking" in text for text in self.browser.texts(".blank")), f"{view} was not filled")
            shifted = self.browser.driver.execute_script("return window.shifted ?? 0")
            self.assertLess(shifted, 0.1, f"{view} jumped")

    def test_nothing_is_cut_off_on_a_narrow_screen(self):
        metrics = {"width": 375, "height": 800, "deviceScaleFactor": 1, "mobile": True}
        self.browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        for view in VIEWS:
            self.visit(f"#/{view}")
            self.browser.wait(lambda: self.browser.texts("#coverage") != [""], f"{view} was not filled")
            wide = self.browser.driver.execute_script("return document.documentElement.scrollWidth")
            self.assertLessEqual(wide, 375, view)

    def test_a_token_is_asked_for_kept_and_sent(self):
        gate = Gate(self.demo.origin)
        self.addCleanup(gate.stop)
        gate.token = "0123456789abcdef"
        self.browser.open(f"{gate.origin}/#/partitions")
        self.browser.one("#token")
        self.assertEqual(self.browser.focused().get_attribute("id"), "token-text")
        self.browser.press("wrong", Keys.ENTER)
        self.browser.wait(lambda: "refused" in "".join(self.browser.texts("#token-why")), "a wrong token is not called so")
        self.browser.press(gate.token, Keys.ENTER)
        self.browser.one(".partitions tbody tr")
        self.browser.driver.refresh()
        self.browser.one(".partitions tbody tr")
        self.assertFalse(self.browser.all("#token"))

    def test_trouble_is_said_in_place_and_passes(self):
        gate = Gate(self.demo.origin)
        self.addCleanup(gate.stop)
        gate.refuse = 429
        self.browser.open(f"{gate.origin}/#/partitions")
        said = self.browser.one("#partitions .freshness.bad")
        self.assertIn("Too much is asked at once. ask again", said.text)
        self.assertEqual(len(self.browser.all("#partitions .freshness button")), 1)
        gate.refuse = None
        self.browser.one(".partitions tbody tr")
        self.browser.wait(lambda: not self.browser.all("#partitions .freshness.bad"), "it is still called trouble")

    def through_a_gate(self, changes, route=""):
        """Loads the page where these answers are changed on their way."""
        gate = Gate(self.demo.origin)
        self.addCleanup(gate.stop)
        gate.changes = changes
        self.browser.open(f"{gate.origin}/{route}")

    def test_an_answer_that_is_not_complete_says_what_it_is_about(self):
        self.through_a_gate({"partitions": of_three})
        self.browser.wait(lambda: self.browser.texts("#coverage.partial"), "it is not said")
        self.assertIn("answers for partitions 0–2 of 8", self.browser.texts("#coverage.partial")[0])

    def test_what_the_instance_answers_for_is_said_by_the_instance_and_not_by_each_answer(self):
        self.through_a_gate({"summary": of_three, "exceptions": of_three, "packages": of_three})
        self.browser.wait(lambda: self.browser.texts("#coverage") == ["All 8 partitions"], "it is not said")
        self.browser.driver.execute_script("""
            window.flipped = [];
            new MutationObserver(() => window.flipped.push(document.querySelector("#coverage").textContent))
                .observe(document.querySelector("#coverage"), { childList: true, characterData: true, subtree: true });
        """)
        one = self.demo.ask("exceptions")["exceptions"][0]
        for view, sign in [("exceptions/open", ".opened tbody tr"), ("stalls", ".heat"),
                           (f"package/{one['carrier']}/{one['tracking_number']}", ".life svg")]:
            self.browser.driver.execute_script("location.hash = arguments[0]", f"#/{view}")
            self.browser.one(sign)
        self.assertEqual(self.browser.driver.execute_script("return window.flipped"), [])

    def test_what_is_not_read_is_said_in_every_view_and_listed_with_its_place(self):
        def nothing_is_read(answer):
            last = {"partition": 3, "offset": 1234567}
            answer["unread"] = {
                "since_start": {"records": 5000, "rejected": 4500, "unknown_texts": 0},
                "last_15_min": {"records": 2000, "rejected": 250, "unknown_texts": 100},
                "rejected": [{"reason": "not_json", "count": 4500, "last_15_min": 250, "last": last,
                              "says": "expected value at column 1"}],
                "unknown_texts": [{"carrier": "dhl", "field": "milestone", "text": "<b>SORTED</b>",
                                   "count": 100, "last_15_min": 100, "last": last}],
                "unknown_texts_not_listed": 7}

        self.through_a_gate({"partitions": nothing_is_read}, "#/policies")
        self.assertEqual(self.browser.one("#unread").text, "13 % of the records are no scans")
        self.browser.one("#unread").click()
        rows = self.browser.wait(lambda: self.browser.texts(".unread tbody tr"), "it is not listed")
        self.assertEqual(len(rows), 3)
        for word in ["not_json", "250", "13 % of the records", "partition 3, offset 1,234,567", "expected value at column 1"]:
            self.assertIn(word, rows[0])
        for word in ["milestone <b>SORTED</b>", "dhl", "unknown: counts as info"]:
            self.assertIn(word, rows[1])
        self.assertEqual(self.browser.complaints(), [])

    def test_what_opened_is_told_for_as_long_as_it_is_known(self):
        self.visit()
        label = lambda: self.browser.texts(".tile.trend .label")
        self.browser.wait(lambda: label() == ["opened, last 24 h"], "it has been known for three weeks")
        opened = sum(self.demo.ask("summary", by="carrier")["opened"]["by_hour"])
        self.assertEqual(self.browser.texts(".tile.trend .number"), [f"{opened:,}"])

        def restarted(answer):
            answer["opened"].update(whole=False, counted_since=["2026-03-02T08:00:00Z", "2026-03-02T09:00:00Z"])

        self.through_a_gate({"summary": restarted})
        self.browser.wait(lambda: label() and label()[0].startswith("opened since "), "since when is not said")
        self.assertTrue(label()[0].endswith(", at least"), label())

    def test_at_the_end_nothing_is_behind_and_the_clock_rests(self):
        self.visit("#/partitions")
        frontiers = self.browser.wait(lambda: self.browser.texts(".partitions .c-frontier"), "no partition is shown")
        self.assertEqual([text for text in frontiers if not text.startswith("0 s behind")], [])
        self.visit("#/policies")
        self.browser.wait(lambda: self.time_shown() == self.demo.ask("partitions")["at"], "the clock is not the service's")

    def test_a_hidden_tab_asks_nothing(self):
        gate = Gate(self.demo.origin)
        self.addCleanup(gate.stop)
        self.browser.open(f"{gate.origin}/#/partitions")
        self.browser.one(".partitions tbody tr")
        driver = self.browser.driver
        # What a browser does when another tab is chosen.
        hide = """Object.defineProperty(document, "hidden", { configurable: true, get: () => arguments[0] });
                  document.dispatchEvent(new Event("visibilitychange"));"""
        driver.execute_script(f"(function () {{ {hide} }})(true)")
        driver.execute_async_script("setTimeout(arguments[0], 2500)")
        before = len(gate.asked)
        driver.execute_async_script("setTimeout(arguments[0], 5000)")
        self.assertEqual(len(gate.asked), before)
        driver.execute_script(f"(function () {{ {hide} }})(false)")
        self.browser.wait(lambda: len(gate.asked) > before, "it does not ask again")

    def test_pictures_are_kept(self):
        one = self.demo.ask("exceptions", kind="no_movement", severity="warning")["exceptions"][0]
        package = f"package/{one['carrier']}/{one['tracking_number']}"
        for scheme in ["light", "dark"]:
            self.browser.scheme(scheme)
            for name, route, sign in [("stalls", "stalls", ".heat"), ("package", package, ".life svg"),
                                      ("exceptions", "exceptions", ".events tbody tr")]:
                self.visit(f"#/{route}")
                self.browser.one(sign)
                path = os.path.join(SCREENSHOTS, f"page-{name}-{scheme}.png")
                self.assertTrue(self.browser.driver.save_screenshot(path))
                self.assertGreater(os.path.getsize(path), 10_000)

    def test_z_the_demo_stops_well(self):
        self.demo.stop()


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], *sys.argv[3:]], verbosity=2, failfast=False)
