"""The actions of `truing feedback` as they are typed are in the journeys; here what they are."""

import pytest

from truing.errors import UserError
from truing.feedback.commands import ACTIONS, action_named


def test_every_action_has_settings_that_explain_themselves():
    assert set(ACTIONS) == {"import", "export", "stats", "snapshot", "backup", "round", "review"}
    for config, act in ACTIONS.values():
        assert config.__doc__ and act.__doc__


def test_another_action_is_refused_with_those_there_are():
    with pytest.raises(UserError, match="valid: import, export"):
        action_named("improt")
