"""Texts that may be hostile, made safe to show: a model's words are data, never markup of ours."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

import nh3
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

# Zero-width and bidirectional characters: what is read would not be what is written.
INVISIBLE = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
TAGS = {"p", "br", "em", "strong", "code", "pre", "ul", "ol", "li", "blockquote", "h1", "h2", "h3", "h4", "hr", "a",
        "table", "thead", "tbody", "tr", "th", "td", "del"}  # fmt: skip


def visible(text: str) -> Markup:
    """The text escaped, with characters that cannot be seen shown by their code."""
    parts, start = [], 0
    for found in INVISIBLE.finditer(text):
        code = f"U+{ord(found[0]):04X}"
        name = unicodedata.name(found[0], code)
        parts.append(escape(text[start : found.start()]))
        parts.append(Markup('<span class="invisible" title="{}">⟨{}⟩</span>').format(name, code))
        start = found.end()
    return Markup("").join([*parts, escape(text[start:])])


def markdown(text: str) -> Markup:
    """Markdown as HTML of harmless tags: no images, no scripts, no styles; links open without telling where from."""
    shown = INVISIBLE.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text)
    raw = _renderer().render(shown)
    clean = nh3.clean(
        raw, tags=TAGS, attributes={"a": {"href", "title"}}, url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )  # fmt: skip
    return Markup(clean)  # nh3 made it safe


@cache
def _renderer() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").enable("strikethrough")
