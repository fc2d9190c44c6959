"""Messages <-> token ids: the only place where text becomes tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import transformers

from truing.data.records import Message
from truing.errors import UserError

Layout = Literal["auto", "template", "dialogue", "plain"]
"""How messages become text: the tokenizer's chat template; Human/Assistant turns; contents as they are."""

DIALOGUE = {"system": "\n\n", "user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}


def _leading_spaces(text: str) -> int:
    return len(text) - len(text.lstrip(" "))


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


class Chat:
    """A tokenizer and a layout: turns conversations into token ids and back."""

    def __init__(self, tokenizer: transformers.PreTrainedTokenizerBase, layout: Layout = "auto") -> None:
        if layout == "auto":
            layout = "template" if tokenizer.chat_template else "plain"
        if layout == "template" and not tokenizer.chat_template:
            raise UserError('layout = "template": the tokenizer has no chat template; use "dialogue" or "plain"')
        self.tokenizer = tokenizer
        self.layout = layout
        self.anchor = self._ids("a")
        # A dialogue's answer begins with a space, and with a second one where a SentencePiece tokenizer adds its own.
        self.lead = max(1, _leading_spaces(self._after_anchor(self._ids(" a")))) if layout == "dialogue" else 0

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to the place where the assistant begins to speak; one token at least."""
        if self.layout == "template":
            turns = [{"role": m.role, "content": m.content} for m in messages]
            text = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
            return self._ids(str(text))
        if self.layout == "dialogue":
            return self._begin() + self._ids("".join(DIALOGUE[m.role] + m.content for m in messages) + "\n\nAssistant:")
        return self._begin() + self._ids("".join(m.content for m in messages))

    def response_ids(self, text: str, ended: bool = True) -> list[int]:
        """Token ids of an answer as the model would have said it, with its end token when it `ended`."""
        ids = self._ids((" " if self.layout == "dialogue" and not text.startswith(" ") else "") + text)
        return [*ids, self.end_id] if ended else ids

    def text(self, response_ids: Sequence[int]) -> str:
        """What a person reads: special tokens left out, no other character touched but the dialogue's leading space.

        A SentencePiece tokenizer puts a space of its own before an answer: "there" has the tokens with which a sentence
        goes on " there". In a dialogue that space is left out too; in the other layouts it stays, for nothing tells the
        one from the other: the text of `response_ids("there")` is then " there".
        """
        said = [i for i in response_ids if i != self.tokenizer.eos_token_id]
        text = self._after_anchor(said)
        return text[min(self.lead, _leading_spaces(text)) :]

    def places(self, messages: Sequence[Message], numbers: Sequence[int]) -> list[slice] | None:
        """Where the answers with these numbers in a conversation lie among its `prompt_ids`.

        Each with the tokens it has as an answer of its own; what the layout puts after an answer in place of its end
        token is not counted in, nor a last token that melts into that. None where some read differently there: the
        template rewrites what was said before.
        """
        ids, found = self.prompt_ids(messages) if numbers else [], list[slice]()
        for number in numbers:
            before, answer = self.prompt_ids(messages[:number]), self.response_ids(messages[number].content)
            start = len(before)
            same = _alike(ids[start:], answer)
            if ids[:start] != before or same < max(1, len(answer) - 2):
                return None
            found.append(slice(start, start + same))
        return found

    @property
    def end_id(self) -> int:
        """The token that ends an answer."""
        if self.tokenizer.eos_token_id is None:
            raise UserError(f"the tokenizer of {self.tokenizer.name_or_path} names no eos token: set one in its config")
        return self.tokenizer.eos_token_id

    def _begin(self) -> list[int]:
        begin = self.tokenizer.bos_token_id
        return [begin if begin is not None else self.end_id]

    def _after_anchor(self, ids: Sequence[int]) -> str:
        # Some tokenizers drop a space at the very beginning of what they decode: it must not be the response's own.
        return self._decode([*self.anchor, *ids]).removeprefix(self._decode(self.anchor))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]
