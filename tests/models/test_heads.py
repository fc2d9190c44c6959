import pytest
import torch

from truing.models import heads
from truing.models.heads import VocabularyHead, exact_kl, logprobs, logprobs_and_entropy

N, D, V = 7, 5, 11


def parts(dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    hidden_ND = torch.randn(N, D, dtype=dtype, requires_grad=True)
    weight_VD = torch.randn(V, D, dtype=dtype, requires_grad=True)
    bias_V = torch.randn(V, dtype=dtype, requires_grad=True) if bias else None
    return hidden_ND, weight_VD, bias_V, torch.randint(0, V, (N,))


@pytest.fixture(autouse=True, params=[0, 7 * N, 2**26], ids=["none kept", "some kept", "all kept"])
def chunks_smaller_than_the_batch(monkeypatch, request):
    monkeypatch.setitem(heads.CHUNK_NUMBERS, "cpu", 3 * V)
    monkeypatch.setitem(heads.KEPT_NUMBERS, "cpu", request.param)


@pytest.mark.parametrize(("scale", "softcap", "temperature"), [(1.0, None, 1.0), (0.7, None, 0.5), (1.3, 2.0, 1.7)])
def test_logprobs_and_entropy_equal_the_naive_ones_with_gradients(scale, softcap, temperature):
    hidden_ND, weight_VD, bias_V, token_N = parts()
    head = VocabularyHead(weight_VD, bias_V, scale, softcap)
    logp_N, entropy_N = logprobs_and_entropy(head, hidden_ND, token_N, temperature)
    raw_NV = (hidden_ND @ weight_VD.T + bias_V) * scale
    naive_NV = ((raw_NV if softcap is None else softcap * torch.tanh(raw_NV / softcap)) / temperature).log_softmax(-1)
    naive_N = naive_NV[torch.arange(N), token_N]
    naive_entropy_N = -(naive_NV.exp() * naive_NV).sum(-1)
    torch.testing.assert_close(logp_N, naive_N)
    torch.testing.assert_close(entropy_N, naive_entropy_N)
    mix_N = torch.linspace(-1, 1, N, dtype=torch.float64)
    inputs = (hidden_ND, weight_VD, bias_V)
    for bonus in (0.0, 1.0):
        logp_N, entropy_N = logprobs_and_entropy(head, hidden_ND, token_N, temperature)
        ours = torch.autograd.grad((mix_N * logp_N + bonus * mix_N.flip(0) * entropy_N).sum(), inputs)
        wanted = (mix_N * naive_N + bonus * mix_N.flip(0) * naive_entropy_N).sum()
        for our, their in zip(ours, torch.autograd.grad(wanted, inputs, retain_graph=True), strict=True):
            torch.testing.assert_close(our, their)


@pytest.mark.parametrize("spread", [0.1, 30.0], ids=["alike", "sure and most unlikely"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_in_low_precision_are_as_near_as_it_allows(dtype, spread):
    """Also where a token is all but certain, and its gradient all but nothing; and where it could hardly be."""
    hidden_ND, weight_VD, _, token_N = parts(torch.float32, bias=False)
    low = [(x * spread**0.5).detach().to(dtype).requires_grad_() for x in (hidden_ND, weight_VD)]
    ours = torch.autograd.grad(logprobs(VocabularyHead(low[1]), low[0], token_N).sum(), low)
    wide = [x.detach().double().requires_grad_() for x in low]
    logit_NV = (low[0] @ low[1].T).detach().double() - (wide[0] @ wide[1].T).detach() + wide[0] @ wide[1].T
    theirs = torch.autograd.grad(logit_NV.log_softmax(-1)[torch.arange(N), token_N].sum(), wide)
    digits = torch.finfo(dtype).eps * 4
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.double(), their, rtol=digits, atol=digits * their.abs().max().item())


@pytest.mark.parametrize("softcap", [None, 50.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entropy_of_sure_tokens_is_nothing_and_so_is_its_bonus(dtype, softcap):
    """Logits near 30, whose last digit is an eighth in bfloat16. Broken on purpose: the mean of unrounded logits."""
    weight_VD = (torch.randn(200, 128) / 128**0.5).to(dtype)
    hidden_ND = (weight_VD[:50].float() * 30).to(dtype).requires_grad_()
    for token_N in (torch.arange(50), torch.arange(50) + 1):
        head = VocabularyHead(weight_VD, softcap=softcap)
        logit_NV = head.logits(hidden_ND).detach().double()
        logp_NV = logit_NV.log_softmax(-1)
        _, entropy_N = logprobs_and_entropy(head, hidden_ND, token_N)
        torch.testing.assert_close(entropy_N.double(), -(logp_NV.exp() * logp_NV).sum(-1), atol=1e-3, rtol=0)
        (gradient,) = torch.autograd.grad(entropy_N.sum(), hidden_ND)
        assert gradient.abs().max() < 0.01


def test_what_is_kept_of_the_probabilities_is_bounded_and_changes_no_bit(monkeypatch):
    found = []
    for room in (0, 7 * N, 2**26):
        monkeypatch.setitem(heads.KEPT_NUMBERS, "cpu", room)
        hidden_ND, weight_VD, _, token_N = parts(torch.float32, bias=False)
        logp_N = logprobs(VocabularyHead(weight_VD), hidden_ND, token_N)
        made_by = logp_N.grad_fn.next_functions[0][0]  # behind the cut to as many rows as were asked for
        assert sum(kept.numel() for kept in made_by.kept) <= room
        found.append(torch.autograd.grad(logp_N.sum(), (hidden_ND, weight_VD)))
    for some in found[1:]:
        assert all(map(torch.equal, some, found[0]))


def test_logprobs_gradient_by_finite_differences():
    hidden_ND, weight_VD, bias_V, token_N = parts()

    def function(hidden_ND, weight_VD, bias_V):
        return logprobs_and_entropy(VocabularyHead(weight_VD, bias_V, 1.1, 3.0), hidden_ND, token_N, 0.8)

    assert torch.autograd.gradcheck(function, (hidden_ND, weight_VD, bias_V))


def test_exact_kl_equals_the_naive_one_with_gradients():
    hidden_ND, weight_VD, _, _ = parts(bias=False)
    ref_hidden_ND, ref_weight_VD = torch.randn(N, D, dtype=torch.float64), torch.randn(V, D, dtype=torch.float64)
    kl_N = exact_kl(VocabularyHead(weight_VD), hidden_ND, VocabularyHead(ref_weight_VD), ref_hidden_ND, 0.9)
    logp_NV = (hidden_ND @ weight_VD.T / 0.9).log_softmax(-1)
    ref_NV = (ref_hidden_ND @ ref_weight_VD.T / 0.9).log_softmax(-1)
    naive_N = (logp_NV.exp() * (logp_NV - ref_NV)).sum(-1)
    torch.testing.assert_close(kl_N, naive_N)
    assert (kl_N > 0).all()
    mix_N = torch.linspace(1, 2, N, dtype=torch.float64)
    for our, their in zip(
        torch.autograd.grad((mix_N * kl_N).sum(), (hidden_ND, weight_VD)),
        torch.autograd.grad((mix_N * naive_N).sum(), (hidden_ND, weight_VD)),
        strict=True,
    ):
        torch.testing.assert_close(our, their)


def test_exact_kl_to_oneself_is_zero():
    hidden_ND, weight_VD, _, _ = parts(bias=False)
    kl_N = exact_kl(VocabularyHead(weight_VD), hidden_ND, VocabularyHead(weight_VD), hidden_ND.detach())
    assert kl_N.abs().max() < 1e-12


def test_no_tensor_of_tokens_times_vocabulary_is_ever_made(monkeypatch):
    """The largest tensor that any operation makes, forward and backward, stays at one chunk."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            out = function(*args, **(kwargs or {}))
            for tensor in out if isinstance(out, tuple | list) else (out,):
                if isinstance(tensor, torch.Tensor):
                    self.numbers = max(self.numbers, tensor.numel())
            return out

    tokens, vocabulary, chunk = 64, 500, 8
    monkeypatch.setitem(heads.CHUNK_NUMBERS, "cpu", chunk * vocabulary)
    hidden_ND = torch.randn(tokens, 4, requires_grad=True)
    weight_VD = torch.randn(vocabulary, 4, requires_grad=True)
    with Largest() as largest:
        logp_N, entropy_N = logprobs_and_entropy(
            VocabularyHead(weight_VD), hidden_ND, torch.zeros(tokens, dtype=torch.long)
        )
        (logp_N.sum() + entropy_N.sum()).backward()
    assert tokens * 4 < largest.numbers <= chunk * vocabulary


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("strip", [1, 5, V, 64])
def test_logits_in_strips_are_the_product_of_all_at_once(monkeypatch, bias, strip):
    monkeypatch.setattr(heads, "STRIP", strip)
    torch.manual_seed(0)
    hidden_ND, weight_VD = torch.randn(4, 6), torch.randn(V, 6, requires_grad=True)
    bias_V = torch.randn(V) if bias else None
    head = VocabularyHead(weight_VD, bias_V, scale=0.5, softcap=3.0)
    at_once_NV = head.logits(hidden_ND)  # with a gradient
    with torch.no_grad():
        for block in (slice(None), slice(3, 8)):
            torch.testing.assert_close(head.logits(hidden_ND, block), at_once_NV[:, block].detach())
