import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import LogitsProcessorList, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from truing.errors import UserError
from truing.generation.sampling import Sampling, draw, inverse_cdf, truncate, uniforms

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0, 0.5, -3.0])


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(temperature=0.5),
        Sampling(top_k=3),
        Sampling(top_p=0.8),
        Sampling(min_p=0.2),
        Sampling(top_k=4, top_p=0.9),
    ],
)
def test_draws_follow_the_distribution(sampling):
    """Chi-squared against probabilities computed the slow way."""
    draws = 20_000
    p = torch.softmax(LOGITS.double() / sampling.temperature, -1).tolist()
    order = sorted(range(6), key=lambda i: -p[i])
    allowed = set(order[: sampling.top_k or 6])
    allowed &= {i for i in range(6) if p[i] >= sampling.min_p * max(p)}
    if sampling.top_p < 1:
        mass, total = 0.0, sum(p[i] for i in allowed)
        nucleus = set()
        for i in order:
            if i in allowed and mass < sampling.top_p * total:
                nucleus.add(i)
                mass += p[i]
        allowed = nucleus
    expected = np.array([p[i] if i in allowed else 0.0 for i in range(6)])
    kept = expected.sum()
    token_B, logp_B, kept_B = draw(LOGITS.expand(draws, 6), uniforms(7, draws), sampling)
    counts = np.bincount(token_B.numpy(), minlength=6)
    assert counts[expected == 0].sum() == 0
    inside = expected > 0
    assert chisquare(counts[inside], draws * expected[inside] / kept).pvalue > 1e-3
    np.testing.assert_allclose(logp_B.exp().numpy(), (expected / kept)[token_B.numpy()], rtol=1e-5)
    np.testing.assert_allclose(kept_B.exp().numpy(), kept, rtol=1e-5)


def test_temperature_zero_takes_the_likeliest():
    token_B, logp_B, kept_B = draw(LOGITS.expand(3, 6), torch.rand(3), Sampling(temperature=0))
    assert token_B.tolist() == [0, 0, 0] and kept_B.tolist() == [0, 0, 0]
    torch.testing.assert_close(logp_B, LOGITS.log_softmax(-1)[0].expand(3))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-24])
def test_no_uniform_number_ever_draws_an_impossible_token(uniform):
    """Also at the very end of the scale, where float32 sums fall short of 1."""
    torch.manual_seed(0)
    logit_BV = torch.randn(64, 5000) * 3
    sampling = Sampling(top_k=17)
    token_B, logp_B, _ = draw(logit_BV, torch.full((64,), uniform), sampling)
    assert torch.isfinite(logp_B).all()
    cut_BV, _ = truncate(logit_BV.log_softmax(-1), sampling)
    assert (cut_BV.gather(-1, token_B[:, None]) > float("-inf")).all()


def test_truncate_renormalises_and_keeps_the_likeliest():
    cut_BV, kept_B = truncate(LOGITS[None].log_softmax(-1), Sampling(top_p=1e-6))
    assert (cut_BV > float("-inf")).sum() == 1 and cut_BV.argmax() == 0
    torch.testing.assert_close(kept_B.exp(), LOGITS.softmax(-1)[:1])


@pytest.mark.parametrize(
    "given",
    [
        {"top_p": 0.999},
        {"top_p": 0.9, "min_p": 0.02},
        {"top_p": 0.6, "min_p": 0.1, "top_k": 40},
        {"top_p": 0.95, "top_k": 2000},
    ],
    ids=str,
)
def test_what_is_kept_is_what_transformers_keeps(given):
    """Its own processors, in their order, on the same logits in float64."""
    torch.manual_seed(0)
    logit_BV = 3 * torch.randn(8, 50_000)
    processors = LogitsProcessorList()
    for name, kind in (("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper), ("min_p", MinPLogitsWarper)):
        if name in given:
            processors.append(kind(given[name]))
    expected_BV = processors(torch.zeros(8, 1, dtype=torch.long), logit_BV.double())
    cut_BV, _ = truncate(logit_BV.log_softmax(-1), Sampling(**given))
    assert torch.equal(cut_BV > float("-inf"), expected_BV > float("-inf"))


def test_uniforms_depend_on_the_seed_alone_and_extend():
    assert torch.equal(uniforms(5, 10), uniforms(5, 20)[:10])
    assert not torch.equal(uniforms(5, 10), uniforms(6, 10))
    assert uniforms(5, 10_000).min() >= 0 and uniforms(5, 10_000).max() < 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1),
        ("temperature", 1e-40),
        ("top_k", -1),
        ("top_p", 0),
        ("top_p", 1.1),
        ("min_p", 1),
        ("max_new_tokens", 0),
        ("stop", ("",)),
    ],
)
def test_impossible_settings_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"^{name} = "):
        Sampling(**{name: value})


@pytest.mark.parametrize("vocabulary", [3, 256, 700, 1024])
def test_inverse_cdf_on_two_levels_is_that_on_one(vocabulary):
    torch.manual_seed(0)
    p_BV = torch.rand(500, vocabulary, dtype=torch.float64) ** 4
    p_BV[:, ::3] = 0  # tokens that must never come
    p_BV[0, : vocabulary - 1] = 0 if vocabulary > 256 else p_BV[0, : vocabulary - 1]
    p_BV[0, -1] = 1
    p_BV /= p_BV.sum(-1, keepdim=True)
    uniform_B = torch.rand(500, dtype=torch.float64)
    token_B = inverse_cdf(p_BV, uniform_B)
    naive_B = torch.tensor(
        [np.searchsorted(np.cumsum(p), u, side="right") for p, u in zip(p_BV, uniform_B, strict=True)]
    )
    assert torch.equal(token_B, naive_B)
    for edge in (0.0, 1 - 2**-24):
        token_B = inverse_cdf(p_BV.float(), torch.full((500,), edge))
        assert (p_BV.gather(-1, token_B[:, None]) > 0).all()


def test_draws_from_a_large_vocabulary_follow_its_distribution():
    """Chi-squared over 5,000 tokens in 12 groups of unequal weight, 40,000 draws."""
    torch.manual_seed(1)
    logit_V = 2 * torch.randn(5000)
    token_B, _, _ = draw(logit_V.expand(40_000, -1), uniforms(3, 40_000), Sampling(temperature=0.8))
    group_V = torch.arange(5000) * 12 // 5000
    expected = torch.zeros(12).index_add(0, group_V, (logit_V / 0.8).softmax(-1)) * 40_000
    seen = torch.bincount(group_V[token_B], minlength=12)
    assert ((seen - expected) ** 2 / expected).sum() < 31.3  # 99.9 % of chi-squared with 11 degrees of freedom


def test_a_text_is_cut_before_the_stop_string_that_comes_first():
    assert Sampling(stop=("b", "a")).cut("xyab") == Sampling(stop=("a", "b")).cut("xyab") == "xy"
    assert Sampling(stop=("z",)).cut("xyab") == Sampling().cut("xyab") == "xyab"
