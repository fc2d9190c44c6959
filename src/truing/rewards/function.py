"""Rewards by a Python function named as `file.py:function` or `package.module:function`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from truing.data.records import Prompt, Response
from truing.errors import UserError, nearest

Reward = Callable[[Sequence[Prompt], Sequence[Response]], list[float]]
"""One score for each response, in order."""


def load_function(name: str) -> Callable[..., float]:
    """The function behind `file.py:function` or `module:function`; it takes the texts of prompt and response."""
    place, _, function = name.rpartition(":")
    if not place:
        raise UserError(f"reward {name}: write it as file.py:function or module:function")
    try:
        if place.endswith(".py"):
            if not Path(place).is_file():
                raise UserError(f"reward {name}: there is no file {place}")
            spec = importlib.util.spec_from_file_location(f"truing_reward_{Path(place).stem}", place)
            assert spec is not None and spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            # Where an import would put it too: a dataclass in the file looks its module up.
            sys.modules[spec.name] = module
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(place)
    except (ImportError, SyntaxError) as error:
        raise UserError(f"reward {name}: {place} cannot be imported: {error}") from error
    functions = {key: value for key, value in vars(module).items() if callable(value) and not key.startswith("_")}
    if function not in functions:
        raise UserError(f"reward {name}: {place} has no function {function}; {nearest(function, functions)}")
    return functions[function]


def function_reward(function: Callable[..., float]) -> Reward:
    """Scores by `function(prompt, response)`: parameters annotated `Prompt` or `Response` get records, others texts."""
    takes = [str(parameter.annotation) for parameter in inspect.signature(function).parameters.values()]
    prompt_record, response_record = any("Prompt" in kind for kind in takes), any("Response" in kind for kind in takes)

    def score(prompts: Sequence[Prompt], responses: Sequence[Response]) -> list[float]:
        return [
            function(prompt if prompt_record else prompt.text, response if response_record else response.text)
            for prompt, response in zip(prompts, responses, strict=True)
        ]

    return score
