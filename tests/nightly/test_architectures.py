"""Every architecture of transformers that can be made small: what is accepted reads, samples, learns and is saved as it
should; what is not is refused in one line. Three of them stand in tests/models/test_architectures.py."""

import pytest
from tests.architectures import CannotBeSmall, all_the_way, refused, small_model
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from truing.errors import UserError
from truing.models.loading import policy_of

# When this was written. More may be; none of these may be lost.
RIGHT = """
afmoe apertus apertus1p5_text arcee aria_text axk1 beam biogpt bitnet codegen cohere cohere2 cohere2_moe ctrl
cwm deepseek_v2 deepseek_v3 dots1 ernie4_5 ernie4_5_moe exaone exaone4 exaone_moe flex_olmo gemma gemma2
gemma3_text gemma4_text gemma4_unified_text glm glm4 glm4_moe glm4_moe_lite gpt-sw3 gpt2 gpt_bigcode gpt_neox
gptj granite granitemoe granitemoeshared hunyuan_v1_dense hunyuan_v1_moe hy_v3 hyperclovax internlm3 iquestcoder
jais2 jetmoe kolibri1 laguna lfm2 llama mellum minicpm3 minimax_m2 minimax_m3_vl_text ministral ministral3
mistral mixtral nanochat olmo olmo2 olmo3 olmoe opt persimmon phi phi3 qwen2 qwen2_moe qwen3 qwen3_moe
sarvam_mla sarvam_moe seed_oss smollm3 solar_open starcoder2 vaultgemma youtu
""".split()  # noqa: SIM905


@pytest.mark.parametrize("kind", MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
def test_an_architecture_is_right_or_refused(kind, tokenizer, tmp_path):
    try:
        lm = small_model(kind)
        policy = policy_of(lm)
    except CannotBeSmall as error:
        assert kind not in RIGHT, error
        pytest.skip(str(error))
    except UserError as error:
        told = refused(error)
        assert kind not in RIGHT, told
        pytest.skip(f"refused: {told}")
    all_the_way(lm, policy, tokenizer, tmp_path)
