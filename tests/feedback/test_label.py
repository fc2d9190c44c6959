"""Opening a store with prompts and models, and the people who come by the door."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select, update
from tests.conftest import PATIENCE_S

from truing.data import formats
from truing.data.records import Comparison, Rating
from truing.errors import UserError
from truing.feedback import label
from truing.feedback.judgements import rounds
from truing.feedback.label import Config, prepare, serve
from truing.feedback.people import auth
from truing.feedback.store import content, projects
from truing.feedback.store import schema as t
from truing.feedback.store.database import Database
from truing.feedback.tasks import leases
from truing.feedback.tasks.replies import Misconfigured, Unreachable
from truing.feedback.web import simulated_client


def counting(messages, seed):
    yield f"{messages[-1]['content']} answered with {seed}"


def local(name):
    return counting, "c" * 64


def wait(condition):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def rows(db, table):
    with db.reading() as connection:
        return connection.execute(select(table)).all()


@pytest.fixture
def files(make, tmp_path, monkeypatch):
    monkeypatch.setattr(label, "GAP_S", 0.02)
    formats.write([make.prompt(f"prompt {i}") for i in range(30)], tmp_path / "prompts.jsonl")
    formats.write([make.conversation(f"c{i}", *"ABCD") for i in range(3)], tmp_path / "answers.jsonl")
    (tmp_path / "guide.md").write_text("# Be kind")
    return tmp_path


def config(files, **settings):
    return Config(store=str(files / "feedback.db"), **settings)


def test_what_is_refused_fills_nothing(files):
    both = (str(files / "answers.jsonl"), str(files / "prompts.jsonl"))
    with pytest.raises(UserError, match="30 prompts have no answers to judge: name a --model"):
        prepare(config(files, prompts=both), local)
    db = Database.open(str(files / "feedback.db"))
    assert not rows(db, t.task) and not rows(db, t.project)


def test_stored_answers_become_pairs_once(files):
    wanted = config(files, prompts=(str(files / "answers.jsonl"),), guideline=str(files / "guide.md"), overlap=2)
    for _ in range(2):  # a second start adds nothing
        site = prepare(wanted, local)
        assert len(rows(site.db, t.task)) == 6 and len(rows(site.db, t.message)) == 12
        assert [g.text for g in rows(site.db, t.guideline)] == ["# Be kind"]
        assert site.filling() is None
        site.db.close()


def test_criteria_and_scale_belong_to_the_tasks_made_with_them(files):
    first = config(files, prompts=(str(files / "answers.jsonl"),), kind="rate", criteria=("kind",), scale=7)
    site = prepare(first, local)
    told = [task.config for task in rows(site.db, t.task)]
    assert {(c["criteria"][0]["name"], c["scale"]["high"], len(c["scale"]["words"])) for c in told} == {("kind", 7, 7)}
    site = prepare(config(files, prompts=(str(files / "answers.jsonl"),), kind="binary"), local)
    assert [task.config["criteria"] for task in rows(site.db, t.task) if task.kind == "binary"] == [[]] * 3


def test_live_models_answer_ahead_of_the_people_and_not_further(files, monkeypatch):
    monkeypatch.setattr(label, "AHEAD", 5)
    site = prepare(config(files, prompts=(str(files / "prompts.jsonl"),), model=("one", "two")), local)
    wait(lambda: len(rows(site.db, t.task)) == 5)
    time.sleep(0.2)
    assert len(rows(site.db, t.task)) == 5 and site.filling() is not None
    made = rows(site.db, t.message)
    assert len({m.model_version_id for m in made}) == 2 and all(m.seed is not None for m in made)
    assert rows(site.db, t.model_version)[0].checkpoint_hash == "c" * 64


def test_equal_answers_are_asked_for_again(files):
    calls = []

    def same(messages, seed):
        calls.append(seed)
        yield "the same" if len(calls) < 3 else f"another {len(calls)}"

    site = prepare(config(files, prompts=(str(files / "prompts.jsonl"),), model=("m",)), lambda name: (same, ""))
    wait(lambda: rows(site.db, t.task))
    with site.db.reading() as connection:
        prompt = connection.scalar(select(t.task.c.prompt_id).order_by(t.task.c.created_at))
        texts = connection.scalars(select(t.message.c.content).where(t.message.c.prompt_id == prompt)).all()
    assert sorted(texts) == ["another 3", "the same"]


@pytest.mark.parametrize(("kind", "shown"), [("pair", []), ("rank", []), ("rate", ["the same"])])
def test_answers_that_stay_equal_are_told_and_asked_of_nobody(files, make, monkeypatch, capsys, kind, shown):
    formats.write([make.prompt("prompt")], files / "one.jsonl")
    wanted = config(files, prompts=(str(files / "one.jsonl"),), model=("m",), kind=kind)
    site = prepare(wanted, lambda name: (lambda messages, seed: iter(["the same", " " * (seed % 2)]), ""))
    wait(lambda: site.filling() is None)
    assert [message.content.strip() for message in rows(site.db, t.message)] == shown
    assert len(rows(site.db, t.task)) == len(shown)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 - len(shown) and all("all answers read the same" in line for line in lines)


def made(files, *records, local=local, **settings):
    """The tasks after a start with these records, and what it warned of."""
    formats.write(records, files / "asked.jsonl")
    site = prepare(config(files, prompts=(str(files / "asked.jsonl"),), **settings), local)
    wait(lambda: site.filling() is None)
    tasks = rows(site.db, t.task)
    site.db.close()
    return len(tasks)


def in_round(files, act):
    with Database.open(str(files / "feedback.db")).writing() as connection:
        act(connection, projects.project_named(connection))


@pytest.mark.parametrize(("kind", "first"), [("pair", 1), ("edit", 2)])
def test_new_answers_to_the_same_prompts_are_asked_and_the_same_ones_never_again(files, make, capsys, kind, first):
    talk = make.conversation
    assert made(files, talk("q", "A", "B"), kind=kind) == first
    assert capsys.readouterr().err == ""
    for again in (talk("q", "A", "B"), talk(" q", "A", "B "), talk("q", "B", "A")):
        assert made(files, again, kind=kind) == first
        assert "nothing new to ask in" in (told := capsys.readouterr().err) and f"open from before: {first}" in told
    assert made(files, talk("q", "C", "B"), kind=kind) == first + 1
    in_round(files, rounds.open_round)
    assert made(files, talk("q", "C", "B"), kind=kind) == first + 1  # a round does not make a question new
    assert made(files, talk("q", "D", "A"), kind=kind) == first + 2
    assert {task.round_id is None for task in rows(Database.open(str(files / "feedback.db")), t.task)} == {True, False}


@pytest.mark.parametrize(("kind", "model"), [("pair", ("m",)), ("demo", ())])
def test_prompts_without_answers_are_asked_again_in_each_round_and_once_in_it(files, make, kind, model):
    asked = (make.prompt("q"), make.prompt("q"), make.prompt("r"))
    for _ in range(2):
        assert made(files, *asked, kind=kind, model=model) == 2
    in_round(files, rounds.open_round)
    for _ in range(2):
        assert made(files, *asked, kind=kind, model=model) == 4
    in_round(files, lambda connection, project: connection.execute(update(t.round_).values(closed_at=1.0)))
    assert made(files, *asked, kind=kind, model=model) == 4  # none is open: no new one has begun
    assert made(files, make.prompt("s"), kind=kind, model=model) == 5


def test_tasks_left_over_from_a_round_do_not_keep_the_next_from_being_filled(files, make, monkeypatch):
    monkeypatch.setattr(label, "AHEAD", 2)
    left = [make.conversation(f"left {i}", "A", "B") for i in range(3)]
    assert made(files, *left) == 3
    in_round(files, lambda connection, project: connection.execute(update(t.task).values(state="closed")))
    assert made(files, make.prompt("q"), model=("m",)) == 4


def test_equal_answers_of_a_file_are_told_and_not_asked_of_people(files, make, capsys):
    talks = [make.conversation("q", "A", " A", "B", "C"), make.conversation("r", "D", "D")]
    assert made(files, *talks) == 1
    told = capsys.readouterr().err
    assert "2 answers are left out: they read as another answer to the same prompt" in told
    assert made(files, talks[1]) == 1 and "nothing new to ask" in capsys.readouterr().err
    with Database.open(str(files / "feedback.db")).reading() as connection:
        assert set(connection.scalars(select(t.message.c.content))) == {"A", "B"}


def test_gold_on_the_same_prompt_with_other_answers_is_new_and_equal_answers_are_none(files, make, capsys):
    q = make.prompt("2 + 2?")
    known = [Comparison(q, "4", "5"), Comparison(q, "4", "3"), Rating(q, "4", 1, 0, 1)]
    known += [Comparison(q, "4", " 4"), Comparison(q, "4", "4")]
    for count in (1, 3, 5, 5):
        formats.write(known[:count], files / "gold.jsonl")
        site = prepare(config(files, gold=str(files / "gold.jsonl")), local)
        assert len(rows(site.db, t.gold)) == min(count, 3)
        site.db.close()
    told = capsys.readouterr().err
    assert told.count('known judgement of the prompt "2 + 2?" left out: equal answers') == 2
    assert told.count("gold.jsonl: 1 judgements compare a text with itself, which is left out: row 5") == 2


def test_a_prompt_that_no_model_can_answer_is_told_and_left_out(files, monkeypatch, capsys):
    """Red while the first one is asked for again and again: the others were never answered, and nobody was done."""

    def short(messages, seed):
        if messages[-1]["content"] in ("prompt 0", "prompt 7"):
            raise UserError("a prompt of 3602 tokens leaves no room")
        yield f"answered with {seed}"

    monkeypatch.setattr(label, "AHEAD", 40)
    wanted = config(files, prompts=(str(files / "prompts.jsonl"),), model=("m",))
    site = prepare(wanted, lambda name: (short, ""))
    wait(lambda: site.filling() is None)
    assert len(rows(site.db, t.task)) == 28
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 2 and all("3602 tokens" in line and line.endswith("left out") for line in told)
    assert '"prompt 0"' in told[0] and '"prompt 7"' in told[1]
    site.db.close()
    site = prepare(wanted, local)  # another start, with a model that can, asks them after all
    wait(lambda: len(rows(site.db, t.task)) == 30)


@pytest.mark.parametrize("kind", [Unreachable, Misconfigured])
def test_a_server_that_is_away_is_asked_again_and_costs_no_prompt(files, monkeypatch, capsys, kind):
    calls = []

    def away(messages, seed):
        calls.append(seed)
        if len(calls) < 4:
            raise kind("status 503")
        yield f"answered with {seed}"

    monkeypatch.setattr(label, "AHEAD", 3)
    site = prepare(config(files, prompts=(str(files / "prompts.jsonl"),), model=("m",)), lambda name: (away, ""))
    wait(lambda: len(rows(site.db, t.task)) == 3)
    with site.db.reading() as connection:
        asked = connection.scalars(select(t.prompt.c.messages).join(t.task, t.task.c.prompt_id == t.prompt.c.id)).all()
    assert {messages[0]["content"] for messages in asked} == {"prompt 0", "prompt 1", "prompt 2"}
    assert capsys.readouterr().err.count("status 503") == 1


def test_a_quiz_and_hidden_gold_come_from_files(files, make):
    known = [Comparison(make.prompt("2 + 2?"), "4", "5")]
    formats.write(known, files / "quiz.jsonl")
    wanted = config(files, prompts=(str(files / "answers.jsonl"),), quiz=str(files / "quiz.jsonl"))
    for _ in range(2):
        site = prepare(wanted, local)
        assert [(g.onboarding, g.explanation) for g in rows(site.db, t.gold)] == [(True, "")]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompts": ("prompts.jsonl",)}, "30 prompts have no answers"), ({"guideline": "no.md"}, "cannot be read"),
        ({"prompts": ("no.jsonl",)}, "there is no such file"),
        ({"model": ("http://127.0.0.1:1/v1",)}, "--allow-private"),
        ({"answers": 12}, "1 to 9"), ({"port": 70000}, "0 to 65535"), ({"kind": "rank", "answers": 1}, "needs 2 or"),
        ({"answers": 3}, "always shows 2"), ({"kind": "rank", "criteria": ("kind",)}, "has one question"),
        ({"kind": "chat"}, "name a --model"), ({"kind": "chat", "simulate": 2}, "simulated people do not talk"),
        ({"criteria": ("kind", "kind")}, "names, each once"), ({"criteria": ("",)}, "names"),
        ({"project": ""}, "a name"),
        ({"model": ("http://x/v1",), "remote_key": "NO_SUCH_VARIABLE"}, "no such environment variable"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_said_before_anything_is_served(files, settings, said):
    if "prompts" in settings:
        settings = settings | {"prompts": tuple(str(files / p) for p in settings["prompts"])}
    with pytest.raises(UserError, match=said):
        prepare(config(files, **settings), local)


def test_other_machines_are_let_in_only_to_an_owner_with_a_password_under_a_name(files):
    wanted = config(files, prompts=(str(files / "answers.jsonl"),), host="0.0.0.0", port=0, hosts=("label.example",))
    with pytest.raises(UserError, match="others could come in"):
        serve(wanted, local)
    site = prepare(wanted, local)
    with site.db.writing() as connection:
        auth.add_person(connection, "Olga", "owner", "correct horse")
    label._refuse_open_door(wanted, site)
    with pytest.raises(UserError, match="others could come in"):
        label._refuse_open_door(config(files, host="0.0.0.0"), site)


def test_simulated_people_come_by_the_door_and_judge_all(files, capsys):
    wanted = config(files, prompts=(str(files / "answers.jsonl"),), overlap=3, simulate=4, stop_when_done=True, port=0)
    # in a thread of its own: after a browser's tests this one has a running event loop
    with ThreadPoolExecutor(1) as aside:
        aside.submit(serve, wanted, local).result()
    shown = capsys.readouterr().out
    assert "Judge at http://127.0.0.1:" in shown and "4 simulated annotators gave 18 judgements" in shown
    assert shown.endswith(
        f"18 judgements in {wanted.store}; to learn from them: truing reward --data {wanted.store} …\n"
    )
    db = Database.open(wanted.store)
    with db.reading() as connection:
        c = t.annotation.c
        counted = connection.execute(select(func.count(), func.count(c.annotator_id.distinct())).group_by(c.task_id))
        assert [tuple(row) for row in counted] == [(3, 3)] * 6
    assert all(person.simulated for person in rows(db, t.annotator) if person.name.startswith("simulated"))


def test_the_last_line_counts_what_stands_and_names_the_project(files, make, capsys):
    """Skips, and what was taken back, are no judgements; another project's are not this one's."""
    first = prepare(config(files, prompts=(str(files / "answers.jsonl"),)), local)
    with first.db.writing() as connection:
        ann = auth.add_person(connection, "Ann")
        leases.skip(connection, leases.lease(connection, first.project, ann), ann, "unclear", "key-1")
        leases.submit(connection, leases.lease(connection, first.project, ann), ann, {"verdict": "tie"}, "key-2")
        leases.undo(connection, ann, "key-3")
    first.db.close()
    for wanted, judged in (
        (config(files, simulate=1, stop_when_done=True, port=0), 5),  # one is in Ann's hands
        (
            config(
                files, prompts=(str(files / "answers.jsonl"),), project="two", simulate=1, stop_when_done=True, port=0
            ),
            6,
        ),
    ):
        with ThreadPoolExecutor(1) as aside:
            aside.submit(serve, wanted, local).result()
        last = capsys.readouterr().out.splitlines()[-1]
        assert last.startswith(f"{judged} judgements in ")
    assert last.endswith(f'truing reward --data "{wanted.store}#project=two" …')


def test_people_stop_when_told():
    stop = threading.Event()
    stop.set()
    person = simulated_client.cast(1)[0]
    assert simulated_client.Worker("http://127.0.0.1:9", "x", person, simulated_client.plain_worth).work(stop=stop) == 0


def test_a_page_with_nothing_to_ask_says_so(files, make, capsys):
    prepare(Config(store=str(files / "feedback.db")), local).db.close()
    assert "nothing to ask: give --prompts" in capsys.readouterr().err
    formats.write([Comparison(make.prompt("known"), "good", "bad")], files / "known.jsonl")
    prepare(Config(store=str(files / "feedback.db"), quiz=str(files / "known.jsonl")), local).db.close()
    assert "nothing to ask" not in capsys.readouterr().err
    assert made(files, make.conversation("q", "A", "B")) == 2 and "nothing to ask" not in capsys.readouterr().err


@pytest.mark.parametrize(("kind", "given", "shown"), [("binary", "A", [1]), ("rank", "ABC", [3]), ("rate", "A", [1])])
def test_of_sampled_answers_all_are_shown_however_many_there_are(files, make, kind, given, shown):
    """`--answers`, here 2 or 4, says how many live ones there are."""
    formats.write([make.conversation("q", *given)], files / "sampled.jsonl")
    answers = 4 if kind == "rank" else 2
    site = prepare(
        Config(store=str(files / "f.db"), prompts=(str(files / "sampled.jsonl"),), kind=kind, answers=answers), local
    )
    with site.db.reading() as connection:
        sets = connection.scalars(select(t.task.c.candidate_set_id)).all()
        assert [len(content.answers(connection, one)) for one in sets] == shown
    site.db.close()
