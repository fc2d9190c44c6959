from truing.data import seeds


def test_seeds_of_iterations_and_responses_by_hand():
    """What runs have been drawn with: other numbers would make every recorded run another."""
    assert seeds.derived(3, 4) == 3_000_013
    assert seeds.of_response(3, 4, 5) == 3_000_013 * 1_009 + 5


def test_no_two_responses_of_a_run_share_a_seed():
    of_a_run = [
        seeds.of_response(seeds.derived(seed, iteration), prompt, answer)
        for seed in range(2) for iteration in range(1, 20) for prompt in range(64) for answer in range(8)
    ]  # fmt: skip
    assert len(set(of_a_run)) == len(of_a_run)
