"""Pages for those who run the work: the team, the leaderboard, the samples."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from sqlalchemy import Connection, func, select
from starlette.responses import HTMLResponse

from truing.feedback.judgements import agreement
from truing.feedback.store import content
from truing.feedback.store import schema as t
from truing.feedback.tasks.leases import standing
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
def leaderboard(request: Request) -> HTMLResponse:
    """Model versions by strength."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        rows = agreement.leaderboard(connection, here.project)
    grouped = bool(rows) and rows[-1]["group"] > 0
    return page(request, "leaderboard.html", title="Leaderboard", rows=rows, grouped=grouped)


@routes.get("/samples")
def samples(request: Request, search: str = "", start: int = 0) -> HTMLResponse:
    """Prompts, the newest first, with how many answers and judgements each has."""
    needs(request, "reviewer")
    here, p = site(request), t.prompt.c
    start = max(0, min(start, 10**9))
    with here.db.reading() as connection:
        answers = select(func.count()).where(t.message.c.prompt_id == p.id).scalar_subquery()
        stand = select(func.count()).select_from(t.comparison.join(t.annotation)).where(*standing())
        said = stand.where(t.comparison.c.prompt_id == p.id).scalar_subquery()
        asked = select(p.id, p.messages, p.split, answers.label("answers"), said.label("comparisons"))
        asked = asked.where(p.project_id == here.project).order_by(p.created_at.desc(), p.id)
        if search:
            below = select(t.message.c.prompt_id).where(t.message.c.content.contains(search, autoescape=True))
            texts = func.lower(func.cast(p.messages, t.message.c.content.type))
            asked = asked.where(texts.contains(search.lower(), autoescape=True) | p.id.in_(below))
        rows = connection.execute(asked.offset(start).limit(PAGE + 1)).all()
    return page(request, "samples.html", title="Samples", rows=rows[:PAGE], search=search, start=start,
                more=start + PAGE if len(rows) > PAGE else None)  # fmt: skip


@routes.get("/samples/{identity}")
def sample(request: Request, identity: str) -> HTMLResponse:
    """One prompt: the tree of answers below it, and the history of what was said of them."""
    needs(request, "reviewer")
    here = site(request)
    with here.db.reading() as connection:
        prompt = connection.execute(
            select(t.prompt).where(t.prompt.c.id == identity, t.prompt.c.project_id == here.project)
        ).first()
        if prompt is None:
            raise Refused(404, "unknown", "there is no such prompt")
        tree = _tree(connection, identity)
        history = _history(connection, identity)
    names = {row["id"]: row["name"] for row in tree}
    return page(request, "sample.html", title="Sample", prompt=prompt, tree=tree, history=history, names=names)


def _tree(connection: Connection, prompt: str) -> list[dict[str, Any]]:
    """Messages below a prompt, depth first, each with its depth, its author and a name to speak of it by."""
    m = t.message.c
    asked = (
        select(t.message, t.model_version.c.name.label("model"), t.annotator.c.name.label("person"))
        .outerjoin(t.model_version, t.model_version.c.id == m.model_version_id)
        .outerjoin(t.annotator, t.annotator.c.id == m.annotator_id)
        .where(m.prompt_id == prompt)
        .order_by(m.created_at)
    )
    children: dict[str | None, list[Any]] = {}
    for row in connection.execute(asked):
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


def _history(connection: Connection, prompt: str) -> list[Any]:
    """Everything that was said of a prompt's answers, taken back or not, in order."""
    c = t.annotation.c
    later = t.annotation.alias()
    asked = (
        select(c.number, c.kind, c.payload, c.created_at, t.annotator.c.name, later.c.id.label("superseded"))
        .join(t.task, t.task.c.id == c.task_id)
        .join(t.annotator, t.annotator.c.id == c.annotator_id)
        .outerjoin(later, later.c.supersedes_id == c.id)
        .where(t.task.c.prompt_id == prompt)
        .order_by(c.number)
    )
    return list(connection.execute(asked).all())


def _texts(connection: Connection, disagreements: list[dict[str, Any]]) -> dict[str, str]:
    """Texts of the prompts and answers that a table of disagreements names."""
    told = {
        row["prompt"]: content.conversation_to(connection, row["prompt"], None)[-1]["content"] for row in disagreements
    }
    answers = [m for row in disagreements for m in ([row["message"]] if "message" in row else row["sides"])]
    m = t.message.c
    told |= dict(connection.execute(select(m.id, m.content).where(m.id.in_(answers))).all())  # type: ignore[arg-type]
    return told
