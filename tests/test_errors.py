from truing.errors import nearest


def test_nearest_offers_the_closest_or_all():
    assert nearest("kl_in_rewrad", ["kl_in_reward", "gamma"]) == 'did you mean "kl_in_reward"?'
    assert nearest("zzz", ["b", "a"]) == "valid: a, b"
