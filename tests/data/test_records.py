from truing.data.records import Message, Prompt, split_of, text_hash


def test_prompt_identity_is_its_messages():
    one, same = (Prompt((Message("user", "hi"),)) for _ in range(2))
    other = Prompt((Message("user", "ho"),))
    assert one.id == same.id != other.id
    assert len(one.id) == 16


def test_root_is_shared_by_all_turns_of_a_conversation():
    first = Prompt((Message("user", "hi"),))
    later = Prompt((Message("user", "hi"), Message("assistant", "hello"), Message("user", "and?")))
    assert first.root == later.root and first.id != later.id


def test_split_of_keeps_its_share_and_never_changes():
    roots = [text_hash(str(i)) for i in range(4000)]
    held = [split_of(root, 0.1) for root in roots].count("test")
    assert 330 < held < 470  # 400 expected, 3.7 standard deviations either way
    assert split_of("abc", 0.0) == "train"
    assert split_of("abc", 1.0) == "test"
    grown = {r: split_of(r, 0.1) for r in roots[:10]}
    assert grown == {r: split_of(r, 0.1) for r in roots[:10]}
