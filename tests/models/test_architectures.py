"""Three architectures all the way, each asking something else of us; all: make nightly PART=architectures."""

import pytest
from tests.architectures import all_the_way, small_model

from truing.models.loading import policy_of


@pytest.mark.parametrize("kind", ["gpt2", "mistral", "deepseek_v3"])  # places learned, a window, latent attention
def test_an_architecture_reads_samples_learns_and_is_saved(kind, tokenizer, tmp_path):
    lm = small_model(kind)
    all_the_way(lm, policy_of(lm), tokenizer, tmp_path)
