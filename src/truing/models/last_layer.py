"""The last layer's feed-forward network works on those tokens only whose hidden states are read.

No token looks at another after the last attention. A reward model reads one token of a response, a policy and its
critic none of a prompt but the last: the network, two thirds of a layer's arithmetic, would work for nobody.
"""

from __future__ import annotations

import inspect
import threading
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from truing.models.precision import spare


class _Here(threading.local):
    """What attention has told the network, in each thread by itself: others may use the model meanwhile."""

    read_R: Tensor | None = None
    count = 0


class Narrow:
    """Hooks that make the feed-forward network of a model's last layer give zeros at tokens that are not read.

    The layer's attention comes before it and is handed the layout, which names the others. It is asked there, and not
    where the layer is called, because activations that are computed again in the backward pass begin inside the layer.
    """

    def __init__(self) -> None:
        self.here = _Here()

    def __reduce__(self) -> tuple[type[Narrow], tuple[()]]:
        """A copy of a model starts with hooks of its own."""
        return Narrow, ()

    def hang(self, attention: nn.Module, network: nn.Module) -> None:
        """Register the hooks."""
        attention.register_forward_pre_hook(self._listen, with_kwargs=True)
        network.register_forward_pre_hook(self._pick)
        network.register_forward_hook(self._spread)

    def _listen(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        layout = named.get("layout")
        self.here.read_R = None if layout is None else layout.read_R

    def _pick(self, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        read_R = self.here.read_R
        if read_R is None:
            return None
        (hidden_1SD,) = given
        self.here.count = hidden_1SD.shape[1]
        picked_RD = hidden_1SD[0].index_select(0, read_R)
        return (functional.pad(picked_RD, (0, 0, 0, spare(len(picked_RD), picked_RD)))[None],)

    def _spread(self, _: nn.Module, given: tuple[Tensor, ...], output_1RD: Tensor) -> Tensor | None:
        read_R = self.here.read_R
        if read_R is None:
            return None
        self.here.read_R = None
        output_SD = output_1RD.new_zeros(self.here.count, output_1RD.shape[-1])
        return output_SD.index_copy(0, read_R, output_1RD[0, : len(read_R)])[None]


def narrow_last(lm: nn.Module) -> None:
    """Hang the hooks on a model, once.

    It stays as it is where the last layer has no network named `mlp` that takes hidden states alone, or no attention.
    """
    layers = [module for module in lm.modules() if "mlp" in dict(module.named_children())]
    if not layers or "narrow" in layers[-1].__dict__:
        return
    layer, network = layers[-1], layers[-1].get_submodule("mlp")
    attentions = [module for module in layer.modules() if module is not layer and "layer_idx" in module.__dict__]
    if attentions and len(inspect.signature(network.forward).parameters) == 1:
        narrow = Narrow()
        narrow.hang(attentions[0], network)
        layer.narrow = narrow  # type: ignore[assignment]
