"""`truing label` with models of this machine: the page itself knows addresses only, and nothing of torch."""

from __future__ import annotations

from truing.feedback import label
from truing.feedback.tasks.replies import Reply


def serve(config: label.Config) -> None:
    """The page, where a model that is no address answers in this process."""

    def local(name: str) -> tuple[Reply, str]:
        from truing.generation.reply import LocalReply, checkpoint_hash
        from truing.generation.sampling import Sampling

        sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        return LocalReply(name, sampling), checkpoint_hash(name)

    label.serve(config, local)
