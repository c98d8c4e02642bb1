"""A web page in a single file, which loads nothing from elsewhere."""

from html.parser import HTMLParser

from matplotlib.figure import Figure

from timm_mergemix.cli.page import html_page, html_paragraph, html_picture, html_table


class Checker(HTMLParser):
    """Every element that is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_words_of_a_paragraph_can_be_links() -> None:
    html = html_paragraph("see a&b.md\nand more", {"a&b.md": '../"a&b.md'})
    assert html == '<p>see <a href="../&quot;a&amp;b.md">a&amp;b.md</a><br>and more</p>'


def test_a_page_is_well_formed_and_escapes() -> None:
    body = [
        html_paragraph("a < b\nand <script>"),
        html_table(["name", "x & y"], [["<b>", "1"]]),
        html_picture(Figure(figsize=(1, 1)), 'a "picture"', "<caption>"),
    ]
    checker = Checker()
    checker.feed(html_page("R&D", body))
    assert checker.open == []
    assert "R&D" in checker.text and "and <script>" in checker.text and "<caption>" in checker.text
