"""Layers compiled to machine code learn what plain ones do; tests/models/test_roles.py only traces them."""

from tests.conftest import tiny_llama
from tests.models.test_roles import compiled_layers_learn_the_same, has_compiler


@has_compiler
def test_layers_compiled_to_machine_code_learn_the_same_from_any_number_of_tokens(tokenizer):
    compiled_layers_learn_the_same(tiny_llama(len(tokenizer)))
