import math

import numpy as np
import pytest

from truing.data.records import Message, Prompt
from truing.errors import UserError
from truing.feedback.people.simulated import Annotator, ceiling, compare, rank

PROMPT = Prompt((Message("user", "which is longest?"),))
TEXTS = ("a", "aaaa", "aa", "aaa")


def length(prompt, text):
    return float(len(text))


def wrong_share(annotator, times=6000):
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(times):
        tiers = rank(annotator, PROMPT, TEXTS, length, rng).tiers
        wrong += sum(tiers[i] > tiers[j] for i in range(4) for j in range(4) if len(TEXTS[i]) > len(TEXTS[j]))
    return wrong / (6 * times)


def test_rank_without_faults_is_the_truth():
    ranking = rank(Annotator("ann"), PROMPT, TEXTS, length, np.random.default_rng(0))
    assert ranking.tiers == (3, 0, 2, 1) and ranking.annotator == "ann" and ranking.responses == TEXTS


@pytest.mark.parametrize("error_rate", [0.0, 0.1, 0.3, 0.5])
def test_error_rate_is_the_share_of_pairs_in_the_wrong_order(error_rate):
    assert wrong_share(Annotator("ann", error_rate=error_rate)) == pytest.approx(error_rate, abs=0.015)
    assert ceiling(error_rate) == 1 - error_rate


def test_temperature_is_boltzmanns():
    rng = np.random.default_rng(0)
    annotator = Annotator("ann", temperature=0.5)
    right = sum(compare(annotator, PROMPT, "a", "aa", length, rng).chosen == "aa" for _ in range(8000))
    assert right / 8000 == pytest.approx(1 / (1 + math.exp(-1 / 0.5)), abs=0.015)


def test_tie_threshold_and_equal_worth_make_ties():
    rng = np.random.default_rng(0)
    assert rank(Annotator("ann", tie_threshold=1.5), PROMPT, TEXTS, length, rng).tiers == (0, 0, 0, 0)
    assert compare(Annotator("ann"), PROMPT, "aa", "bb", length, rng).target == 0.5
    assert compare(Annotator("ann"), PROMPT, "aa", "bbb", length, rng).chosen == "bbb"


def test_position_bias_and_laziness_favour_what_is_shown_first():
    rng = np.random.default_rng(0)
    assert rank(Annotator("ann", position_bias=10), PROMPT, TEXTS, length, rng).tiers[0] == 0
    assert rank(Annotator("ann", laziness=1), PROMPT, TEXTS, length, rng).tiers == (0, 1, 2, 3)


@pytest.mark.parametrize("fault", [{"error_rate": 0.6}, {"temperature": -1}, {"tie_threshold": -1}, {"laziness": 2}])
def test_impossible_faults_are_refused(fault):
    with pytest.raises(UserError, match=next(iter(fault))):
        Annotator("ann", **fault)
