"""`truing label` with models of this machine: the page itself knows addresses only, and nothing of torch."""

from __future__ import annotations

from pathlib import Path

from truing.feedback import label
from truing.feedback.tasks.replies import Reply


def serve(config: label.Config) -> None:
    """The page, where a model that is no address answers in this process."""

    def local(name: str) -> tuple[Reply, str]:
        from truing.generation.local import LocalGenerator
        from truing.generation.reply import LocalReply
        from truing.generation.sampling import Sampling
        from truing.models.loading import load_chat, load_policy, locate
        from truing.models.weights import checkpoint_hash

        chat = load_chat(name)
        sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        reply = LocalReply(LocalGenerator(load_policy(name), chat), chat, sampling)
        return reply, checkpoint_hash(Path(locate(name)))

    label.serve(config, local)
