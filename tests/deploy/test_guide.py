"""Links of the guides lead somewhere."""

import re
import unittest

from files import DEPLOY, OPERATING
from test_prometheus import anchor


class Links(unittest.TestCase):
    def test_every_link_leads_to_a_file_or_a_heading(self):
        for guide in (OPERATING, DEPLOY / "README.md"):
            links = re.findall(r"\]\(([^)]+)\)", guide.read_text(encoding="utf-8"))
            self.assertGreater(len(links), 5)
            for link in links:
                with self.subTest(guide=guide.name, link=link):
                    path, _, section = link.partition("#")
                    target = guide.parent / path if path else guide
                    self.assertTrue(target.exists())
                    if section:
                        headings = re.findall(r"^#+ (.+)$", target.read_text(encoding="utf-8"), re.M)
                        self.assertIn(section, map(anchor, headings))


if __name__ == "__main__":
    unittest.main()
