import pytest

from truing.generation.select import distance, select

IDS = [[1, 2, 3, 4], [1, 2, 3, 5], [9, 8, 7, 6], [1, 2, 3, 4]]


def test_distance_is_zero_for_the_same_and_one_for_nothing_shared():
    assert distance(IDS[0], IDS[3]) == 0 and distance([], []) == 0
    assert distance(IDS[0], IDS[2]) == 1
    # n-grams 1..3 of each: 1,2,3,4,12,23,34,123,234 and 1,2,3,5,12,23,35,123,235: six shared of twelve
    assert distance(IDS[0], IDS[1]) == pytest.approx(1 - 6 / 12)


def test_by_reward_takes_the_highest():
    assert select(IDS, [0.1, 0.9, 0.5, 0.7], 2, "reward") == [1, 3]


def test_by_diversity_takes_the_furthest():
    assert select(IDS, None, 3, "diversity") == [0, 2, 1]


def test_by_both_weighs_them():
    assert select(IDS, [1.0, 0.9, -5.0, 0.99], 2, "both") == [0, 1]
    assert select(IDS, [1.0, 0.99, 0.98, 0.99], 2, "both")[0] == 0
    with pytest.raises(ValueError, match="needs scores"):
        select(IDS, None, 2, "both")
