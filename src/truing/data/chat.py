"""Messages <-> token ids: the only place where text becomes tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jinja2
import transformers

from truing.data.records import Message, Prompt, Record
from truing.data.settings import ChatFormat
from truing.data.validate import BadRow
from truing.errors import UserError

DIALOGUE = {"system": "\n\n", "user": "\n\nHuman: ", "assistant": "\n\nAssistant: "}


def _alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(one), len(other)))


class Chat:
    """A tokenizer and a chat format: turns conversations into token ids and back.

    `vocabulary` is how many tokens the model has embeddings of: a token beyond them is refused with a UserError.
    """

    def __init__(
        self,
        tokenizer: transformers.PreTrainedTokenizerBase,
        chat_format: ChatFormat = "auto",
        vocabulary: float = math.inf,
    ) -> None:
        if chat_format == "auto":
            chat_format = "template" if tokenizer.chat_template else "plain"
        if chat_format == "template" and not tokenizer.chat_template:
            raise UserError('chat_format = "template": the tokenizer has no chat template; use "dialogue" or "plain"')
        self.tokenizer = tokenizer
        self.format = chat_format
        self.vocabulary = vocabulary
        self.anchor = self._ids("a")
        before, self.lead, self._end = self._turn()
        self.before = before, self._ids(before)

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Token ids up to the place where the assistant begins to speak; one token at least."""
        if self.format == "template":
            return self._ids(self._rendered(messages))
        if self.format == "dialogue":
            return self._begin() + self._ids("".join(DIALOGUE[m.role] + m.content for m in messages) + "\n\nAssistant:")
        return self._begin() + self._ids("".join(m.content for m in messages))

    def response_ids(self, text: str, ended: bool = True) -> list[int]:
        """Token ids of an answer as they follow a prompt's, with its end token when it `ended`."""
        (before, before_ids), said = self.before, text if text.startswith(self.lead) else self.lead + text
        ids = self._ids(before + said)
        together = ids[: len(before_ids)] == before_ids  # else a token reaches from the one into the other
        ids = ids[len(before_ids) :] if together else self._ids(said)
        return [*ids, self.end_id] if ended else ids

    def ended(self, response_ids: Sequence[int]) -> list[int]:
        """A sampled answer's token ids with the end token of answers written down, whichever special token ended it."""
        ids, ends = list(response_ids), {*self.ends, *self.tokenizer.all_special_ids}
        while ids and ids[-1] in ends:
            ids.pop()
        return [*ids, self.end_id]

    def text(self, response_ids: Sequence[int]) -> str:
        """What a person reads: special tokens and the format's white space before an answer left out, nothing else."""
        return self._after_anchor([i for i in response_ids if i not in self.ends]).removeprefix(self.lead)

    def check(self, record: Record) -> None:
        """Raise BadRow where the chat template refuses the conversation that a record is about."""
        if self.format == "template":
            try:
                self._rendered((record if isinstance(record, Prompt) else record.prompt).messages)
            except UserError as error:
                raise BadRow(str(error)) from None

    def places(self, messages: Sequence[Message], numbers: Sequence[int]) -> list[slice] | None:
        """Where the answers with these numbers in a conversation lie among its `prompt_ids`.

        Each with the tokens it has as an answer of its own; what the format puts after an answer in place of its end
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
        """The token that ends an answer: the one the chat template ends a turn with, else the tokenizer's eos token."""
        if self._end is None:
            raise UserError(f"the tokenizer of {self.tokenizer.name_or_path} names no eos token: set one in its config")
        return self._end

    @property
    def ends(self) -> list[int]:
        """Tokens that end an answer: `end_id`, and the tokenizer's eos token where that is another one."""
        return [end for end in dict.fromkeys((self._end, self.tokenizer.eos_token_id)) if end is not None]

    def _turn(self) -> tuple[str, str, int | None]:
        """The text before an answer, the white space it begins with, and the token that ends it."""
        eos = self.tokenizer.eos_token_id
        if self.format != "template":
            return ("\n\nAssistant:", " ", eos) if self.format == "dialogue" else ("\n", "", eos)
        asked, said = Message("user", "Question"), Message("assistant", "Answer")
        try:
            open_, whole = self._rendered([asked]), self._rendered([asked, said], to_answer=False)
        except UserError:
            return "\n", "", eos  # a template for conversations of another kind
        given, _, after = whole.rpartition(said.content)
        lead = given.removeprefix(open_)
        known = {*self.tokenizer.get_added_vocab().values(), eos}
        end = next((i for i in self._ids(after) if i in known), eos)
        return open_.rpartition(asked.content)[2], lead if lead.isspace() else "", end

    def _rendered(self, messages: Sequence[Message], to_answer: bool = True) -> str:
        """A conversation by the chat template, up to an answer or with one. Raises UserError where it is refused."""
        turns = [{"role": m.role, "content": m.content} for m in messages]
        try:
            return str(self.tokenizer.apply_chat_template(turns, add_generation_prompt=to_answer, tokenize=False))
        except (jinja2.TemplateError, LookupError, TypeError, ValueError) as error:
            raise UserError(f"the chat template refuses it: {error}") from error

    def _begin(self) -> list[int]:
        begin = self.tokenizer.bos_token_id
        return [begin if begin is not None else self.end_id]

    def _after_anchor(self, ids: Sequence[int]) -> str:
        # Some tokenizers drop a space at the very beginning of what they decode: it must not be the response's own.
        return self._decode([*self.anchor, *ids]).removeprefix(self._decode(self.anchor))

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def _ids(self, text: str) -> list[int]:
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if max(ids, default=0) >= self.vocabulary:
            token = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise UserError(
                f"the tokenizer knows {len(self.tokenizer)} tokens, of which {token} is used here, and the model has "
                f"embeddings of {self.vocabulary}: give it more with model.resize_token_embeddings(len(tokenizer))"
            )
        return ids
