from truing.feedback import label
from truing.feedback.label import Config
from truing.loop import live


def test_a_model_that_is_no_address_answers_in_this_process(tiny_model, monkeypatch):
    """Red when its settings are not handed on."""
    handed = []
    monkeypatch.setattr(label, "serve", lambda config, local: handed.append((config, local)))
    config = Config(model=(tiny_model,), temperature=0.5, max_new_tokens=3)
    live.serve(config)
    ((given, local),) = handed
    reply, known_by = local(tiny_model)
    assert given is config and len(known_by) > 8
    assert (reply.sampling.temperature, reply.sampling.max_new_tokens) == (0.5, 3)
