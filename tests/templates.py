"""Tokenizers as people have them: chat templates whose end of a turn is another token than the tokenizer's eos."""

import copy

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<start_of_turn>{{ m.role }}\n"
    "{{ m.content | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token }}[INST] {{ m.content }} [/INST]"
    "{% else %} {{ m.content }} {{ eos_token }}{% endif %}{% endfor %}"
)
TURNS = {
    CHATML: ["<|im_start|>", "<|im_end|>"], GEMMA: ["<start_of_turn>", "<end_of_turn>"], LLAMA_2: [],
}  # fmt: skip


def with_template(tokenizer, template, **special):
    """The tokenizer with a chat template, the tokens of its turns, and special tokens by name, such as `pad_token`."""
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": TURNS[template]})
    tokenizer.chat_template = template
    for name, token in special.items():
        setattr(tokenizer, name, token)
    return tokenizer
