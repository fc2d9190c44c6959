"""How often intervals of 95 % hold the truth: planted truths, simulated judgements, the share of intervals that cover.

python -m benchmarks.coverage                                  # every table, as docs/results.md has them
python -m benchmarks.coverage --tables leaderboard --simulations 200

Strengths are drawn from N(0, 1 logit), as are the log-odds of win rates and shares; a prompt's own chance is drawn from
a Beta distribution around them, so that what is said on one prompt is not independent. Prints Markdown.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import numpy as np

from truing.feedback.judgements import agreement
from truing.feedback.judgements.votes import Label
from truing.maths.agreement import davidson
from truing.maths.statistics import mean_interval, win_rate

Row = list[object]


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulations", type=int, default=2000, help="of each row; default 2000")
    parser.add_argument("--seed", type=int, default=0, help="of every table; default 0")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES), help="default: all")
    wanted = parser.parse_args()
    for name in wanted.tables:
        head, rows = TABLES[name]
        print(f"\n{name.replace('_', ' ')}\n\n| {' | '.join(head)} |\n|{'---|' * len(head)}", flush=True)
        for row in rows(wanted.simulations, wanted.seed):
            print(f"| {' | '.join(map(str, row))} |", flush=True)


def leaderboard(simulations: int, seed: int) -> Iterator[Row]:
    """Every game a prompt of its own, the two models of each drawn at random."""
    for models in (2, 5):
        for games in (1, 5, 8, 20, 30, 100):
            rng = np.random.default_rng([seed, models, games])
            yield [models, games, *_strengths(rng, simulations, models, games)]


def _strengths(rng: np.random.Generator, simulations: int, models: int, games: int) -> list[str]:
    hits: list[bool] = []
    widths: list[float] = []
    for _ in range(simulations):
        strength_M = rng.normal(size=models)
        played = [sorted(rng.choice(models, 2, replace=False).tolist()) for _ in range(games)]
        won = [rng.random() < _chance(strength_M[i] - strength_M[j]) for i, j in played]
        found = _fit(tuple(sorted((i, j, float(w)) for (i, j), w in zip(played, won, strict=True))), models)
        for model, group in enumerate(found.group_M):
            others = found.group_M == group
            if others.sum() > 1:
                low, high = found.interval_M2[model]
                hits.append(low <= strength_M[model] - strength_M[others].mean() <= high)
                widths.append(high - low)
    return [_percent(hits), _percent(np.isinf(widths)), f"{np.median(widths) * 400 / np.log(10):.0f}"]


@cache
def _fit(games: tuple[tuple[int, int, float], ...], models: int):  # the few outcomes of two models come again and again
    return davidson(games, models)


def leaderboard_prompts(simulations: int, seed: int) -> Iterator[Row]:
    """Two models that meet several times on each prompt."""
    for prompts in (1, 2, 3, 5, 10, 30):
        for games in (3, 8):
            rng = np.random.default_rng([seed, prompts, games])
            hits = []
            for _ in range(simulations):
                gap, won = _clustered(rng, prompts, games, 2.0, np.sqrt(2))
                outcomes = [(0, 1, float(x)) for x in won]
                low, high = davidson(outcomes, 2, np.repeat(range(prompts), games).tolist()).interval_M2[0]
                hits.append(low <= gap / 2 <= high)
            yield [prompts, games, _percent(hits)]


def error_rates(simulations: int, seed: int) -> Iterator[Row]:
    """People who get some share of pairs wrong, their rates as the Team page and training have them."""
    settings = [(3, 30, 3), (3, 100, 3), (3, 100, 2), (5, 30, 3), (5, 100, 2), (5, 100, 1)]
    for people, pairs, judges in settings:
        rng = np.random.default_rng([seed, people, pairs, judges])
        wrong_R = np.array([0.0, 0.1, 0.3, 0.1, 0.3][:people])
        hits, rates = [], []
        for _ in range(simulations):
            label_IR = np.full((pairs, people), -1)
            for i in range(pairs):
                asked = rng.permutation(people)[:judges]
                label_IR[i, asked] = rng.random(judges) < wrong_R[asked]
            label_IR = np.where((label_IR >= 0) & (rng.random(pairs) < 0.5)[:, None], 1 - label_IR, label_IR)
            found = agreement.reliability(_labels(label_IR))
            if known := len(found) == people:
                told = [found[str(person)] for person in range(people)]
                low_R, high_R = np.array([one.interval for one in told]).T
                # An interval that ends at 0.995 is shown as 100 %.
                hits.append((low_R - 0.005 <= 1 - wrong_R) & (1 - wrong_R <= high_R + 0.005))
                rates.append([1 - one.accuracy for one in told])
        for r in range(3):
            said = f"{np.mean(rates, 0)[r]:.2f}" if known else "none"
            yield [people, pairs, judges, wrong_R[r], said, _percent(np.array(hits)[:, r]) if known else "–"]


def _labels(label_IR: np.ndarray) -> list[Label]:
    """Which of the two answers of each pair each person prefers."""
    judged = np.argwhere(label_IR >= 0).tolist()
    return [Label((f"{i}a", f"{i}b"), str(r), int(label_IR[i, r]), f"{i} {r}", f"{i}") for i, r in judged]


def win_rates(simulations: int, seed: int) -> Iterator[Row]:
    """Prompts of several outcomes each, from independent ones (∞) to prompts that decide nearly everything (0.2)."""
    for prompts in (2, 3, 4, 5, 10, 50):
        yield [prompts, *(
            _shares(lambda won, prompt: win_rate(won, prompt)[1:], simulations, seed, prompts, answers, spread)
            for answers, spread in ((2, 2.0), (10, 2.0), (10, np.inf), (4, 0.2))
        )]  # fmt: skip


def shares(simulations: int, seed: int) -> Iterator[Row]:
    """Pairs that three or six people judge, who are led by what is in the pair."""
    for pairs in (2, 5, 10, 50):
        yield [pairs, *(
            _shares(lambda won, pair: agreement.share(won.tolist(), pair.tolist())["interval"],
                    simulations, seed, pairs, people, 2.0)
            for people in (1, 3, 6)
        )]  # fmt: skip


def _shares(
    interval: Callable[[np.ndarray, np.ndarray], tuple[float, float]], simulations: int, seed: int, prompts: int,
    answers: int, spread: float,
) -> str:  # fmt: skip
    rng = np.random.default_rng([seed, prompts, answers])
    hits, prompt = [], np.repeat(np.arange(prompts), answers)
    for _ in range(simulations):
        log_odds, won = _clustered(rng, prompts, answers, spread, 1.0)
        low, high = interval(won.astype(float), prompt)
        hits.append(low <= _chance(log_odds) <= high)
    return _percent(hits)


def means(simulations: int, seed: int) -> Iterator[Row]:
    """Independent numbers, normal ones and, skewed, exponential ones."""
    for n in (2, 3, 4, 5, 10, 30):
        rng = np.random.default_rng([seed, n])
        draws = ((rng.normal(size=(simulations, n)), 0.0), (rng.exponential(size=(simulations, n)), 1.0))
        yield [n, *(_percent([low <= mean <= high for low, high in map(mean_interval, x_SN)]) for x_SN, mean in draws)]


def _clustered(
    rng: np.random.Generator, prompts: int, answers: int, spread: float, deviation: float
) -> tuple[float, np.ndarray]:
    """Log-odds from N(0, deviation), and outcomes on prompts whose own chances are Beta around it with this sum."""
    log_odds = float(rng.normal() * deviation)
    chance = _chance(log_odds)
    each = np.full(prompts, chance) if np.isinf(spread) else rng.beta(chance * spread, (1 - chance) * spread, prompts)
    return log_odds, rng.random(prompts * answers) < np.repeat(each, answers)


def _chance(log_odds: float) -> float:
    return float(1 / (1 + np.exp(-log_odds)))


def _percent(hits: Sequence[bool] | np.ndarray) -> str:
    return f"{100 * np.mean(hits):.1f} %"


TABLES: dict[str, tuple[Sequence[str], Callable[[int, int], Iterator[Row]]]] = {
    "leaderboard": (("models", "games", "covered", "open", "median width, points"), leaderboard),
    "leaderboard_prompts": (("prompts", "games on each", "covered"), leaderboard_prompts),
    "error_rates": (("people", "pairs", "judges a pair", "share wrong", "mean found", "covered"), error_rates),
    "win_rates": (("prompts", "2 answers", "10 answers", "10, independent", "4, nearly alike"), win_rates),
    "shares": (("pairs", "one person", "3 people", "6 people"), shares),
    "means": (("numbers", "normal", "exponential"), means),
}


if __name__ == "__main__":
    main()
