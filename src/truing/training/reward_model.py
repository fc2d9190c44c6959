"""The reward model: a number for each response such that people's judgements become likely."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from truing.data import formats
from truing.data.batches import Sequences, within_budget
from truing.data.chat import Chat
from truing.data.convert import on_criterion
from truing.data.formats import Read
from truing.data.lengths import longest, short_enough
from truing.data.records import Comparison, Ranking, split_of, text_hash
from truing.data.settings import DataSettings
from truing.errors import UserError
from truing.maths import preferences, ragged
from truing.maths.surrogates import negative_log_likelihood
from truing.models.adapters import Adapter
from truing.models.loading import load_chat, load_scorer
from truing.models.memory import MicroBatches
from truing.models.roles import Scorer
from truing.rewards.model import scores_of
from truing.rewards.quality import ScoredPair, quality
from truing.runs import distributed
from truing.runs.resume import Weights, fingerprint
from truing.runs.run import Result, Run
from truing.runs.settings import RunSettings
from truing.settings import Flat, require
from truing.training.diagnostics import worse_than_length
from truing.training.loop import Learner, Passes, PassSettings, Update, training_loop
from truing.training.optimize import Learning

USUAL_LR = 1e-4
RANKINGS = {"k_wise": preferences.k_wise, "plackett_luce": preferences.plackett_luce}
FEWEST_PEOPLE = 5  # of whom one can be kept out


@dataclass(frozen=True)
class Config:
    """A reward model from comparisons and rankings."""

    model: str
    """What to start from: a hub id, a folder, or an earlier run."""
    inputs: Flat[DataSettings]
    """Judgements: files, folders, runs or hub ids."""
    passes: Flat[PassSettings] = PassSettings()
    """Examples are judgements."""
    criterion: str = ""
    """Learn from judgements on this criterion, such as helpful; empty: from overall judgements."""
    rankings: Literal["k_wise", "plackett_luce"] = "k_wise"
    """Likelihood of a ranking: all its C(K,2) pairs in one element, or Plackett-Luce."""
    error_rate: float = 0.0
    """Share of judgements made at random, where the data does not tell it: the likelihood becomes (1 - e) P + e / 2."""
    margin: float = 0.0
    """Times a comparison's own margin: how much further apart clear judgements must lie."""
    preference_weight: float = 1.0
    """Weight of the preference loss."""
    language_weight: float = 0.0
    """Weight of the language-model loss on the preferred response."""
    centring: float = 0.0
    """Weight of (r_1 + r_2)^2, which keeps scores around zero."""
    normalise: bool = True
    """Shift and scale the final scores to mean 0 and standard deviation 1 on the training responses."""
    max_tokens: int = 512
    """Judgements with a longer sequence are left out and counted."""
    held_out: float = 0.1
    """Share of root prompts kept for the accuracy, none on both sides; a prompt whose split is known keeps it."""
    new_annotators: float = 0.1
    """Share of people kept out of training to see how it does on new ones, where five people or more are known."""
    freeze: tuple[str, ...] = ()
    """Patterns of parameter names that do not learn, such as *embed*."""
    lora: Adapter = field(default_factory=Adapter)
    """Train a low-rank adapter in place of all weights."""
    learning: Learning = field(default_factory=lambda: Learning(USUAL_LR, "cosine", warmup=0.05))
    """How weights move."""
    run: Flat[RunSettings] = RunSettings("runs/reward")
    """Where the run is written."""

    def __post_init__(self) -> None:
        require(
            self,
            ("error_rate", 0 <= self.error_rate < 1, "at least 0, below 1"),
            ("margin", self.margin >= 0, "0 or more"),
            ("preference_weight", self.preference_weight >= 0, "0 or more"),
            ("language_weight", self.language_weight >= 0, "0 or more"),
            ("centring", self.centring >= 0, "0 or more"),
            ("max_tokens", self.max_tokens >= 2, "2 or more"),
            ("held_out", 0 <= self.held_out < 1, "a share, at least 0 and below 1"),
            ("new_annotators", 0 <= self.new_annotators < 1, "a share, at least 0 and below 1"),
        )
        object.__setattr__(self, "learning", self.learning.rated(USUAL_LR))


@dataclass(frozen=True)
class Item:
    """One judgement ready to learn from: K responses to a prompt, and how they compare."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    tiers: tuple[int, ...]
    root: str
    target: float = 1.0
    margin: float = 0.0
    weight: float = 1.0
    error: float = 0.0
    annotator: str = ""
    round: int = 0
    split: str = ""
    ranked: bool = False

    @property
    def tokens(self) -> int:
        return sum(len(self.prompt) + len(r) for r in self.responses)

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence."""
        return len(self.prompt) + max(map(len, self.responses))

    @property
    def parts_equals(self) -> bool:
        """Whether it prefers one of two responses that are the same tokens: no score can tell them apart."""
        return len(set(zip(self.responses, self.tiers, strict=True))) > len(set(self.responses))


def encode(
    records: Sequence[Comparison | Ranking],
    chat: Chat,
    max_tokens: int,
    context: float = math.inf,
    say: Callable[[str], None] = print,
) -> tuple[list[Item], dict[str, int]]:
    """Items of judgements, and how many were left out: of equal responses, or longer than `max_tokens` or `context`.

    Raises UserError where all are too long.
    """
    most, bound = longest(max_tokens, context)
    items = [_item(record, chat) for record in records]
    kept = short_enough(
        [record.prompt for record in records],
        [item.longest for item in items],
        most,
        f"judgements are longer than {bound}",
        say,
    )
    told = [items[i] for i in kept if not items[i].parts_equals]
    equal = len(kept) - len(told)
    if equal:
        say(f"{equal} of {len(kept)} judgements prefer one of two responses that are the same tokens; left out")
    return told, {"left_out_too_long": len(items) - len(kept), "left_out_equal": equal}


def _item(record: Comparison | Ranking, chat: Chat) -> Item:
    """A judgement in tokens."""
    prompt = tuple(chat.prompt_ids(record.prompt.messages))
    extra: dict[str, Any]
    if isinstance(record, Ranking):
        known = sorted(set(record.tiers))  # the best may have been deleted
        texts, extra = record.responses, {"tiers": tuple(map(known.index, record.tiers)), "ranked": True}
    else:
        # The better one first: margin and language-model loss are about it.
        texts, target = (record.chosen, record.rejected), record.target
        if target < 0.5:
            texts, target = texts[::-1], 1 - target
        extra = {"tiers": (0, 1), "target": target, "margin": record.margin, "weight": record.weight}
    extra |= {"error": record.error, "annotator": record.annotator, "round": record.round}
    responses = tuple(tuple(chat.response_ids(text)) for text in texts)
    return Item(prompt, responses, root=record.prompt.root, split=record.prompt.split, **extra)


def sequences(items: Sequence[Item]) -> Sequences:
    """All responses of the items, end to end."""
    return Sequences.of([i.prompt for i in items for _ in i.responses], [r for i in items for r in i.responses])


def preference_loss(score_B: Tensor, items: Sequence[Item], config: Config) -> Tensor:
    """Loss of each item, [items]: each judgement weighs the same, however many pairs it holds."""
    losses = []
    start = 0
    for item in items:
        score_K = score_B[start : start + len(item.responses)]
        start += len(item.responses)
        error = item.error or config.error_rate
        if item.ranked:
            loss = RANKINGS[config.rankings](score_K, item.tiers, error)
        else:
            margin = config.margin * item.margin if item.target == 1 else 0.0
            loss = preferences.bradley_terry(score_K[0], score_K[1], margin, item.target, error)
        if config.centring:
            better, worse, _ = preferences.pairs(item.tiers)
            loss = loss + config.centring * preferences.centring(score_K[better], score_K[worse]).mean()
        losses.append(loss)
    return torch.stack(losses)


def step(learner: Learner[Scorer], items: Sequence[Item], config: Config) -> Update:
    """One update over a minibatch of judgements."""
    read = sum(item.tokens for item in items)
    work = partial(gradients, learner.role, items, config)
    flops = learner.role.learning_flops(read)
    return learner.update(partial(split, items), work, "preference", read, flops)


def split(items: Sequence[Item], budget_tokens: int) -> list[list[Item]]:
    """This process's share of some judgements in micro-batches. All answers of one are together, each read once."""
    own = [items[i] for i in distributed.share(len(items)).tolist()]
    return [[own[i] for i in some.tolist()] for some in within_budget([item.tokens for item in own], budget_tokens)]


def gradients(
    scorer: Scorer, items: Sequence[Item], config: Config, micro_batches: Sequence[Sequence[Item]]
) -> dict[str, float]:
    """Add up the gradients of some micro-batches of a minibatch, `items`. Returns their part of the loss,
    by term."""
    total = sum(item.weight for item in items) or 1.0  # all of them may weigh nothing
    terms = {"preference": 0.0, **({"language": 0.0} if config.language_weight else {})}
    preferred_tokens = sum(len(item.responses[item.tiers.index(0)]) for item in items)
    for part in micro_batches:
        tokens = sequences(part)
        weight = torch.tensor([item.weight / total for item in part])
        if config.language_weight:
            score_B, logp_N = scorer.with_language_model(tokens)
            first_B = torch.tensor([k == item.tiers.index(0) for item in part for k in range(len(item.responses))])
            weight_N = ragged.spread(first_B.float() / preferred_tokens, tokens.lengths_B)
            language = (weight_N * negative_log_likelihood(logp_N)).sum()
            terms["language"] += language.item()
        else:
            score_B, language = scorer(tokens), torch.zeros(())
        preference = (weight * preference_loss(score_B, part, config)).sum()
        (config.preference_weight * preference + config.language_weight * language).backward()
        terms["preference"] += preference.item()
    return terms


def scores(scorer: Scorer, items: Sequence[Item], micro_batches: MicroBatches) -> list[list[float]]:
    """Scores of every response of every item."""
    tokens = sequences(items)
    score_B = scores_of(scorer, tokens.select(distributed.share(len(tokens))), micro_batches)
    flat = iter(distributed.end_to_end({"score_B": score_B})["score_B"].tolist())
    return [[next(flat) for _ in item.responses] for item in items]


def scored_pairs(scorer: Scorer, items: Sequence[Item], micro_batches: MicroBatches) -> list[ScoredPair]:
    """Every pair of every item, in the order judged."""
    pairs = []
    for item, score_K in zip(items, scores(scorer, items, micro_batches), strict=True):
        lengths = [len(r) for r in item.responses]
        for better, worse, target in zip(*preferences.pairs(item.tiers), strict=True):
            judged = target if item.ranked else item.target
            pairs.append(
                ScoredPair(score_K[better], score_K[worse], lengths[better], lengths[worse], item.root, judged)
            )
    return pairs


def train(config: Config, read: Read = formats.read) -> Result:
    """The whole stage, from files (or what else `read` can read) to a run's folder."""
    with Run.open(config.run, config, "reward") as run:
        kinds = (Comparison, Ranking)
        chat = load_chat(config.model, config.inputs.chat_format)
        records = read(config.inputs.data, kinds, config.inputs.strict, run.say, chat.check)
        records = on_criterion(records, config.criterion, run.say)
        scorer = load_scorer(config.model, config.lora, config.freeze, config.run.seed)
        items, left_out = encode(records, chat, config.max_tokens, scorer.context, run.say)
        strangers = kept_out({item.annotator for item in items}, config.new_annotators)
        learn, held_out, by_strangers = divide(items, config.held_out, strangers)
        if not learn:
            raise UserError(f"nothing to train on: {len(records)} judgements, {sum(left_out.values())} left out, "
                            f"{len(held_out)} held out")  # fmt: skip
        if config.held_out and not held_out:
            run.say(f"nothing is held out: none of {len(items)} judgements falls to held_out = {config.held_out}")
        passes = config.passes.over(len(learn), run)
        learner = Learner.for_run("reward_model", scorer, config.learning, passes.steps, run)
        cost = fit(learner, learn, passes, config, run)
        if config.normalise:
            flat = torch.tensor([s for row in scores(scorer, learn, learner.micro_batches) for s in row])
            scorer.mean += flat.mean().item() * scorer.std
            scorer.std *= max(flat.std().item(), 1e-6)
        run.save(scorer, chat.tokenizer, "model")
        summary: dict[str, Any] = {"judgements": len(learn), **left_out, **cost}
        newest = max(item.round for item in items)
        for name, items in (
            ("", held_out),
            ("new_annotators_", by_strangers),
            ("newest_round_", [item for item in held_out if newest > 1 and item.round == newest]),
        ):
            if items:
                # Calibration asks for the scale that was learned, not the normalised one.
                pairs = scored_pairs(scorer, items, learner.micro_batches)
                told = quality([_unscaled(pair, scorer.std) for pair in pairs])
                summary |= _short(name, told) if name else told
        for sign in worse_than_length(summary) if "reward_model_accuracy" in summary else ():
            run.say(sign)
        return run.finish(summary)


def kept_out(people: Collection[str], share: float) -> set[str]:
    """Whose judgements are kept out of training: this share of the people, one at least, by the hash of their names.
    Nobody, where fewer than five are known."""
    known = sorted(set(people) - {""}, key=text_hash)
    return set(known[: max(1, round(share * len(known)))]) if share and len(known) >= FEWEST_PEOPLE else set()


def divide(
    items: Sequence[Item], held_out: float, strangers: Collection[str]
) -> tuple[list[Item], list[Item], list[Item]]:
    """Judgements to learn from; on new prompts by people known; and by people who are not learned from at all."""
    known = [item for item in items if item.annotator not in strangers]
    split = [item.split or split_of(item.root, held_out) for item in known]
    return (
        [item for item, side in zip(known, split, strict=True) if side != "test"],
        [item for item, side in zip(known, split, strict=True) if side == "test"],
        [item for item in items if item.annotator in strangers],
    )


def _short(name: str, told: dict[str, Any]) -> dict[str, Any]:
    """The accuracy of one more held-out set, under its own name."""
    kept = ("reward_model_accuracy", "reward_model_accuracy_interval", "held_out_pairs")
    return {f"{name}{key.removeprefix('reward_model_')}": told[key] for key in kept if key in told}


def fit(learner: Learner[Scorer], items: Sequence[Item], passes: Passes, config: Config, run: Run) -> dict[str, float]:
    """Train on the items. Returns what saving state on the way cost."""
    state = {"scorer": Weights(learner.role), **learner.parts()}
    with training_loop(run, passes, state, fingerprint(items)) as loop:
        for chosen in loop:
            update = partial(step, learner, [items[i] for i in chosen], config)
            loop.log(loop.run_update(update, judgements=chosen))
    return loop.cost


def _unscaled(pair: ScoredPair, std: float) -> ScoredPair:
    return replace(pair, score_chosen=pair.score_chosen * std, score_rejected=pair.score_rejected * std)
