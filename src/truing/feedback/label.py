"""`truing label`: a store, prompts, live models, and the page where people judge."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import uvicorn
from sqlalchemy import Connection

from truing.data import formats
from truing.data.records import Comparison, Conversation, Prompt, Rating, Response
from truing.data.validate import Complaints, shown
from truing.errors import UserError
from truing.feedback.judgements import agreement
from truing.feedback.people import auth
from truing.feedback.people.simulated import Preference
from truing.feedback.store import accounts, content, projects, tasks
from truing.feedback.store.content import Author
from truing.feedback.store.database import Database, digest
from truing.feedback.store.tasks import Question
from truing.feedback.tasks import gold, kinds, questions
from truing.feedback.tasks.kinds.rate import SCALES
from truing.feedback.tasks.replies import Misconfigured, Remote, Reply, Unreachable
from truing.feedback.web import simulated_client
from truing.feedback.web.app import create_app
from truing.feedback.web.security import LOOPBACK
from truing.feedback.web.site import Site
from truing.rewards.function import load_function
from truing.settings import require

AHEAD = 20  # tasks ready before they are asked for
RETRIES = 3  # for answers that differ
FAREWELL_S = 3  # for requests under way when the page stops; one that was sent by half would never end
GAP_S = 1.0  # between two looks at how many are ready


@dataclass(frozen=True)
class Config:
    """A page where people judge a model's answers; what they say goes into a store."""

    store: str = "feedback.db"
    """Where judgements are kept: a SQLite file, or postgresql://user@host/name."""
    prompts: tuple[str, ...] = ()
    """What to ask: prompts, or prompts with answers already sampled; files, folders, runs or hub ids."""
    model: tuple[str, ...] = ()
    """Who answers, live: hub ids, folders, runs, or http://…/v1 of a server. Two models meet each other."""
    remote_model: str = "default"
    """The name of the model behind an http:// address."""
    remote_key: str = ""
    """The environment variable that holds its API key."""
    project: str = "default"
    """Work in one store that belongs together."""
    kind: kinds.Name = "pair"
    """What people do: compare two, order, rate, say good or bad, write, correct, or chat."""
    answers: int = 2
    """Live answers to each prompt, for rank, rate and binary (of sampled ones all are shown); a pair has two."""
    overlap: int = 1
    """How many different people judge each task."""
    criteria: tuple[str, ...] = ()
    """Further questions, such as helpful, harmless, honest."""
    scale: Literal[5, 7] = 5
    """Points of the scale for rate, each with its words."""
    guideline: str = ""
    """A Markdown file shown beside the tasks."""
    quiz: str = ""
    """Comparisons or good/bad judgements known to be right, asked of everybody first, with the reason shown."""
    gold: str = ""
    """The same, mixed in later without a word: one task of twenty."""
    temperature: float = 1.0
    """Of the live answers."""
    max_new_tokens: int = 128
    """Longest live answer, in tokens."""
    markdown: bool = False
    """Show answers as Markdown, without images; else as plain text."""
    host: str = "127.0.0.1"
    """Address to listen on; another than loopback needs --hosts and an owner with a password."""
    port: int = 8742
    """Port to listen on; 0 takes a free one."""
    hosts: tuple[str, ...] = ()
    """Names that this server answers to, besides loopback."""
    https: bool = False
    """A proxy in front speaks HTTPS: cookies only go there."""
    allow_private: bool = False
    """Let http:// models be on this machine or its network."""
    lease_s: float = 600.0
    """How long a task is kept for the person who has it open."""
    simulate: int = 0
    """So many simulated annotators work through the page's own door."""
    simulate_reward: str = ""
    """What they like: file.py:function or module:function; empty: varied answers of some length."""
    stop_when_done: bool = False
    """With --simulate: stop when nothing is left to judge."""
    seed: int = 0
    """Of live answers and simulated people."""

    def __post_init__(self) -> None:
        require(
            self,
            ("project", bool(self.project), "a name"),
            ("answers", 1 <= self.answers <= 9, "1 to 9"),
            ("overlap", self.overlap >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 or more"),
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("port", 0 <= self.port < 65536, "0 to 65535"),
            ("lease_s", self.lease_s >= 1, "1 or more"),
            ("simulate", 0 <= self.simulate <= 64, "0 to 64"),
            ("criteria", all(self.criteria), "names"),
            ("criteria", len(set(self.criteria)) == len(self.criteria), "names, each once"),
        )
        kind = kinds.TABLE[self.kind]
        if self.answers != 2 and kind.fewest == kind.most:
            raise UserError(f"answers = {self.answers}: a task of the kind {self.kind} always shows {kind.most}")
        if self.answers < kind.fewest:
            raise UserError(f"answers = {self.answers}: a task of the kind {self.kind} needs {kind.fewest} or more")
        if self.simulate and kind.turns:
            raise UserError(f"simulate = {self.simulate}: simulated people do not talk, as the kind {self.kind} wants")
        if self.criteria and not kind.criteria:
            raise UserError(f"criteria = {self.criteria}: a task of the kind {self.kind} has one question")

    @property
    def shown(self) -> int:
        """Answers of one task of this kind."""
        return min(self.answers, kinds.TABLE[self.kind].most)


def serve(config: Config, local: Callable[[str], tuple[Reply, str]]) -> None:
    """Open the store and the page, and stay until interrupted. `local` makes a live model of a folder or hub id: the
    function that answers, and the hash of its checkpoint."""
    preference = load_function(config.simulate_reward) if config.simulate_reward else simulated_client.plain_worth
    listening = _listening(config.host, config.port)
    site = prepare(config, local)
    _refuse_open_door(config, site)
    site.db.checkpoint_aside()
    app = create_app(site, config.hosts, requests_a_second=0.0 if config.simulate else 50.0)
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=FAREWELL_S)
    server, stop = uvicorn.Server(settings), threading.Event()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _terminated)  # uvicorn sends it on when it has ended: then the store is closed
    threading.Thread(target=_after_start, args=(server, config, site, preference, stop), daemon=True).start()
    try:
        server.run(sockets=[listening])
    finally:
        stop.set()
        with site.db.reading() as connection:
            judged = agreement.progress(connection, site.project)["filled"]
            several = len(projects.projects(connection)) > 1
        site.db.close()
        source = f'"{config.store}#project={config.project}"' if several else config.store
        command = kinds.TABLE[config.kind].stage
        print(f"{judged} judgements in {config.store}", end="")
        print(f"; to learn from them: truing {command} --data {source} …" if judged else "")


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _listening(host: str, port: int) -> socket.socket:
    """The socket of the page, opened before any work: a port in use is told at once. Raises UserError."""
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise UserError(
            f"nothing can listen at {host}, port {port}: {error.strerror}; --port 0 takes a free one"
        ) from None


def prepare(config: Config, local: Callable[[str], tuple[Reply, str]]) -> Site:
    """The site of a configuration, its store filled with what it brings."""
    asked = _read_prompts(config)
    places = filter(None, (config.quiz, config.gold))
    known = {place: formats.read(place, (Comparison, Rating), strict=True, report=_warn) for place in places}
    guideline = _read_guideline(config.guideline)
    if kinds.TABLE[config.kind].turns and not config.model:
        raise UserError(f"kind = {config.kind!r}: people talk with a live model: name a --model")
    live = [(name, *_live(name, config, local)) for name in config.model]
    db = Database.open(config.store)  # not before all files have been read
    replies = dict[str, Reply]()
    with db.writing() as connection:
        project = projects.open_project(connection, config.project)
        if guideline:
            projects.add_guideline(connection, project, guideline)
        for name, reply, checkpoint in live:
            replies[content.add_model(connection, name, checkpoint_hash=checkpoint)] = reply
        for place, onboarding in ((config.quiz, True), (config.gold, False)):
            _add_gold(connection, project, known.get(place, ()), onboarding)
        waiting, made = _add_prompts(connection, project, asked, config)
        if waiting and not replies:
            raise UserError(f"{len(waiting)} prompts have no answers to judge: name a --model that gives them")
        left = tasks.still_open(connection, project)
    if config.prompts and not waiting and not made:
        _warn(f"truing label: nothing new to ask in {', '.join(config.prompts)}; tasks still open from before: {left}")
    if not (config.prompts or left or any(known.values())):
        _warn("truing label: nothing to ask: give --prompts, with sampled answers or a --model, or import some first")
    filler = Filler(db, project, waiting, replies, config)
    return Site(db, project, config.project, config.lease_s, config.markdown, config.https, replies, filler.wait_s)


class Filler:
    """Answers prompts ahead of the people, in a thread of its own; never inside a transaction.

    Servers that are away, or answer nobody, are asked again until they do. A prompt that is refused (too long for the
    model) is told and left out, so that the others come to the people; the next start asks it again.
    """

    def __init__(
        self, db: Database, project: str, prompts: Sequence[tuple[str, Prompt]], replies: Mapping[str, Reply],
        config: Config,
    ) -> None:  # fmt: skip
        self.db, self.project, self.replies, self.config = db, project, replies, config
        self.left = list(prompts)
        self.failure = ""
        self.refused = Complaints(", ".join(config.prompts), strict=False, report=_warn)
        if self.left:
            threading.Thread(target=self._fill, daemon=True).start()

    def wait_s(self) -> float | None:
        """Seconds until there may be another task; None when no more are made."""
        return GAP_S if self.left else None

    def _fill(self) -> None:
        while self.left:
            if self._ready() >= AHEAD:
                time.sleep(GAP_S)
                continue
            prompt, record = self.left[0]
            try:
                said = self._answers(record)
                if len(said) < kinds.TABLE[self.config.kind].fewest:
                    raise UserError("all answers read the same: there is nothing to judge between them")
            except (Unreachable, Misconfigured) as error:
                if str(error) != self.failure:
                    self.failure = str(error)
                    _warn(f"truing label: no live answers: {error}")
                time.sleep(5 * GAP_S)
                continue
            except UserError as error:
                self.refused.add(shown(record.text), f"no live answers: {error}")
                del self.left[0]
                time.sleep(GAP_S)  # a server that refuses them all is not stormed
                continue
            with self.db.writing() as connection:
                messages = [content.add_message(connection, prompt, r, author=Author(model)) for r, model in said]
                candidates = content.add_candidates(connection, prompt, messages)
                questions.add_task(connection, self.project, _question(self.config), prompt, candidates)
            del self.left[0]
        self.refused.close()

    def _answers(self, prompt: Prompt) -> list[tuple[Response, str]]:
        """Live answers, no two of them the same: there is nothing to judge between equals. Fewer than are shown where
        the models say no more."""
        said: list[tuple[Response, str]] = []
        for attempt in range(RETRIES * self.config.shown):
            answer, model = self._answer(prompt, len(said), attempt)
            last = attempt >= (RETRIES - 1) * self.config.shown
            text = answer.text.strip()
            if (text or last) and text not in {earlier.text.strip() for earlier, _ in said}:
                said.append((answer, model))
            if len(said) == self.config.shown:
                break
        return said

    def _answer(self, prompt: Prompt, place: int, attempt: int) -> tuple[Response, str]:
        """One live answer: two models take turns."""
        models = list(self.replies)
        model = models[place % len(models)]
        seed = int(digest(f"{self.config.seed} {prompt.id} {attempt}")[:8], 16)
        messages = [{"role": m.role, "content": m.content} for m in prompt.messages]
        settings = (("max_new_tokens", float(self.config.max_new_tokens)), ("temperature", self.config.temperature))
        return Response("".join(self.replies[model](messages, seed)), seed=seed, sampling=settings), model

    def _ready(self) -> int:
        """Open tasks that nobody has been given yet."""
        with self.db.reading() as connection:
            return tasks.still_open(connection, self.project, unseen=True)


def _warn(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _read_prompts(config: Config) -> list[Conversation]:
    if not config.prompts:
        return []
    found = formats.read(config.prompts, (Conversation, Prompt), report=_warn)
    return [one if isinstance(one, Conversation) else Conversation(one) for one in found]


def _add_prompts(
    connection: Connection, project: str, asked: Sequence[Conversation], config: Config
) -> tuple[list[tuple[str, Prompt]], int]:
    """Store what is new as tasks; returns the prompts that live models are to answer first, and how many tasks."""
    waiting: dict[str, Prompt] = {}
    made = equal = 0
    for one in asked:
        prompt = content.add_prompt(connection, project, one.prompt, source="file")
        if len(one.responses) < kinds.TABLE[config.kind].fewest:
            if not questions.is_asked(connection, project, prompt, config.kind):
                waiting[prompt] = one.prompt
            continue
        differing, same = questions.distinct(one)
        equal += same if config.shown else 0
        for part in questions.new_parts(connection, project, prompt, differing, config.kind):
            questions.add_conversation(connection, project, part, _question(config), "file")
            made += 1
    if equal:
        _warn(f"truing label: {equal} answers are left out: they read as another answer to the same prompt")
    return list(waiting.items()), made


def _add_gold(connection: Connection, project: str, known: Sequence[Any], onboarding: bool) -> None:
    """Gold tasks of records whose answers are none's yet; a tag `why: …` of the prompt is the reason shown."""
    for record in known:
        kind, right = kinds.gold_task(record)
        if len(questions.texts(right.answers)) < kind.fewest:
            _warn(f"truing label: known judgement of the prompt {shown(record.prompt.text)} left out: equal answers")
            continue
        prompt = content.add_prompt(connection, project, record.prompt, "gold")
        if questions.texts(right.answers) in questions.asked(connection, prompt, kind.name, onboarding):
            continue
        why = next((tag.removeprefix("why:").strip() for tag in record.prompt.tags if tag.startswith("why:")), "")
        gold.add_record(connection, project, record, why, onboarding)


def _question(config: Config) -> Question:
    """What a task asks, all of it kept with it: another start of the server may ask other things."""
    asked = kinds.TABLE[config.kind].criteria
    criteria = [{"name": name, "words": asked.format(name=name)} for name in config.criteria]
    return Question(config.kind, config.overlap, config={"criteria": criteria, "scale": SCALES[config.scale]})


def _read_guideline(place: str) -> str:
    if not place:
        return ""
    try:
        return Path(place).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"guideline {place}: it cannot be read: {error}") from None


def _live(name: str, config: Config, local: Callable[[str], tuple[Reply, str]]) -> tuple[Reply, str]:
    if not name.startswith(("http://", "https://")):
        return local(name)
    if config.remote_key and config.remote_key not in os.environ:
        raise UserError(f"remote_key = {config.remote_key!r}: there is no such environment variable")
    key = os.environ.get(config.remote_key, "")
    settings = {"temperature": config.temperature, "max_new_tokens": config.max_new_tokens}
    remote = Remote(name, config.remote_model, key, **settings, allow_private=config.allow_private)  # type: ignore[arg-type]
    return remote, ""


def _refuse_open_door(config: Config, site: Site) -> None:
    if f"[{config.host}]" in LOOPBACK or config.host in LOOPBACK:
        return
    with site.db.reading() as connection:
        guarded = accounts.owner_has_password(connection)
    if not guarded or not config.hosts:
        raise UserError(
            f"host = {config.host!r}: others could come in: first start on 127.0.0.1 and give the owner a password, "
            "then name this server with --hosts"
        )


def _after_start(
    server: uvicorn.Server, config: Config, site: Site, preference: Preference, stop: threading.Event
) -> None:
    """Once the server listens: print the way in, and let the simulated people work."""
    while not server.started:
        if stop.wait(0.05):
            return
    port = server.servers[0].sockets[0].getsockname()[1]
    address = f"http://{config.host if config.host != '0.0.0.0' else '127.0.0.1'}:{port}"
    with site.db.writing() as connection:
        secret = auth.issue(connection, "setup", role="owner")
    print(f"Judge at {address}/setup/{secret}", flush=True)
    print(f"(once, as the owner; later at {address}. Judgements go into {config.store}; Ctrl+C stops.)", flush=True)
    if config.simulate:
        given = simulated_client.work_all(address, site.db, config.simulate, config.seed, preference, stop)
        print(f"{config.simulate} simulated annotators gave {given} judgements", flush=True)
        server.should_exit = server.should_exit or config.stop_when_done
