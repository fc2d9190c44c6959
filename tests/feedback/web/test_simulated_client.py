from truing.feedback.web.simulated_client import cast, plain_worth


def test_plain_worth_likes_varied_and_ended_answers():
    from truing.data.records import Message, Prompt

    prompt = Prompt((Message("user", "?"),))
    good, cut, dull = "One two three four five.", "One two three four five", "one one one one one."
    assert plain_worth(prompt, good) > plain_worth(prompt, cut) > plain_worth(prompt, "")
    assert plain_worth(prompt, good) > plain_worth(prompt, dull)


def test_the_cast_is_of_different_people_and_the_same_each_time():
    assert cast(8, 1) == cast(8, 1) and len({person.error_rate for person in cast(8)}) > 4
    assert any(person.position_bias for person in cast(8)) and any(person.laziness for person in cast(8))
