"""The application as a whole."""

import re
from pathlib import Path

from truing.feedback import web

PAGES = Path(web.__file__).parent / "pages"
STATIC = Path(web.__file__).parent / "static"


def test_nothing_inline_and_nothing_from_elsewhere():
    for page in PAGES.glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<script(?![^>]*src=)", text), page.name
        assert not re.search(r'\s(style|on\w+)="', text), page.name
        assert not re.search(r'(src|href)="(https?:)?//', text), page.name
    for script in STATIC.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"\beval\(|new Function|document\.write|https?://", text), script.name


def test_text_becomes_markup_only_where_the_server_cleaned_it():
    uses = [
        (script.name, line.strip())
        for script in STATIC.glob("*.js")
        for line in script.read_text(encoding="utf-8").splitlines()
        if "innerHTML" in line or "insertAdjacentHTML" in line
    ]
    assert sorted(name for name, _ in uses) == ["frame.js", "text.js"]
    assert all("html" in line for _, line in uses)


def test_unknown_paths_and_methods_are_errors_of_one_line(here):
    client = here.client()
    assert client.get("/nothing").json() == {"error": "Not Found", "code": "http"}
    assert client.get("/static/../web/app.py").status_code == 404
    assert client.get("/static/..%2fweb/app.py").status_code == 404
    assert client.get("/docs").status_code == 404


def test_the_assets_are_in_the_package():
    for name in ("label.js", "style.css", "icon.svg"):
        assert (STATIC / name).is_file()
