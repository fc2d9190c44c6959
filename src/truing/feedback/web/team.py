"""Pages for those who run the work: the team, the leaderboard, the samples."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection
from starlette.responses import HTMLResponse

from truing.feedback.judgements import agreement, leaderboard
from truing.feedback.store import content, events
from truing.feedback.web.site import Refused, needs, page, site

routes = APIRouter()
PAGE = 50  # prompts of one page of samples


@routes.get("/team")
def team(request: Request) -> HTMLResponse:
    """Progress, agreement, biases, people."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        told = agreement.figures(connection, here.project)
        texts = _texts(connection, told["disagreements"])
    return page(request, "team.html", title="Team", figures=told, texts=texts)


@routes.get("/api/team")
def team_figures(request: Request) -> dict[str, Any]:
    """The same as JSON."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        return agreement.figures(connection, here.project)


@routes.get("/leaderboard")
def leaderboard_page(request: Request) -> HTMLResponse:
    """Model versions by strength."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        rows = leaderboard.rows(connection, here.project)
    grouped = bool(rows) and rows[-1]["group"] > 0
    return page(request, "leaderboard.html", title="Leaderboard", rows=rows, grouped=grouped)


@routes.get("/samples")
def samples(request: Request, search: str = "", start: int = 0) -> HTMLResponse:
    """Prompts, the newest first, with how many answers and judgements each has."""
    needs(request, "reviewer")
    here, start = site(request), max(0, min(start, 10**9))
    with here.db.reading() as connection:
        rows = content.prompts_page(connection, here.project, search, start, PAGE + 1)
    return page(request, "samples.html", title="Samples", rows=rows[:PAGE], search=search, start=start,
                more=start + PAGE if len(rows) > PAGE else None)  # fmt: skip


@routes.get("/samples/{identity}")
def sample(request: Request, identity: str) -> HTMLResponse:
    """One prompt: the tree of answers below it, and the history of what was said of them."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        prompt = content.prompt(connection, identity)
        if prompt is None or prompt.project_id != here.project:
            raise Refused(404, "unknown", "there is no such prompt")
        tree = _tree(connection, identity)
        history = events.history(connection, identity)
    names = {row["id"]: row["name"] for row in tree}
    return page(request, "sample.html", title="Sample", prompt=prompt, tree=tree, history=history, names=names)


def _tree(connection: Connection, prompt: str) -> list[dict[str, Any]]:
    """Messages below a prompt, depth first, each with its depth, its author and a name to speak of it by."""
    children: dict[str | None, list[Any]] = {}
    for row in content.messages_below(connection, prompt):
        children.setdefault(row.parent_id, []).append(row)
    told: list[dict[str, Any]] = []

    def walk(parent: str | None, depth: int, prefix: str) -> None:
        for number, row in enumerate(children.get(parent, ()), start=1):
            name = f"{prefix}{number}"
            told.append({"id": row.id, "name": name, "depth": min(depth, 8), "role": row.role, "text": row.content,
                         "author": row.model or row.person or "unknown"})  # fmt: skip
            walk(row.id, depth + 1, f"{name}.")

    walk(None, 0, "")
    return told


def _texts(connection: Connection, disagreements: list[dict[str, Any]]) -> dict[str, str]:
    """Texts of the prompts and answers that a table of disagreements names."""
    told = {
        row["prompt"]: content.conversation_to(connection, row["prompt"], None)[-1]["content"] for row in disagreements
    }
    answers = [m for row in disagreements for m in ([row["message"]] if "message" in row else row["sides"])]
    return told | content.texts(connection, answers)
