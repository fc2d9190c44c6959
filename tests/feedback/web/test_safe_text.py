import pytest

from truing.feedback.web.safe_text import markdown, visible


def test_what_cannot_be_seen_is_shown():
    shown = str(visible("a\u202eb\u200bc <b>"))
    assert "⟨U+202E⟩" in shown and "⟨U+200B⟩" in shown and "&lt;b&gt;" in shown and "\u202e" not in shown
    assert "\u2066" not in markdown("x \u2066 y")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "![x](https://evil.example/pixel.png)",
        "[x](javascript:alert(1))", "<svg onload=alert(1)>", "[x](data:text/html,<script>1</script>)",
        "<a href='x' onclick='y'>z</a>", "<style>body{display:none}</style>", "<iframe src=//evil></iframe>",
    ],
)  # fmt: skip
def test_markdown_is_harmless(text):
    html = str(markdown(text)).lower()
    for bad in ("<script", "<img", "<svg", "<iframe", "<style", 'href="javascript', 'href="data'):
        assert bad not in html
    assert not any(
        f"{attribute}=" in html.replace("&lt;", "") and f"<a {attribute}" in html for attribute in ("onclick",)
    )


def test_markdown_still_is_markdown():
    html = str(markdown("# A\n\n* b **c** [d](https://e.example)\n\n```\nf\n```"))
    for part in ("<h1>A</h1>", "<li>", "<strong>c</strong>", 'rel="noopener noreferrer nofollow"', "<code>f"):
        assert part in html
