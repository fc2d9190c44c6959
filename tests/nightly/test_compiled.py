"""Compiled layers as tests/models/test_roles.py has them, to machine code: more than one, and any number of tokens."""

from tests.conftest import tiny_llama
from tests.models.test_roles import compiled_layers_learn_the_same, has_compiler


@has_compiler
def test_layers_compiled_to_machine_code_learn_the_same_from_any_number_of_tokens(tokenizer):
    compiled_layers_learn_the_same(tiny_llama(len(tokenizer)))
