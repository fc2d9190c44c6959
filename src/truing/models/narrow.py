"""The last layer's feed-forward network works on those tokens only whose hidden states are read.

No token looks at another after the last attention. A reward model reads one token of a response, a policy and its
critic none of a prompt but the last: the network, two thirds of a layer's arithmetic, would work for nobody.
"""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from truing.models.precision import spare


class Narrow:
    """Hooks around the feed-forward network of a model's last layer, which gives nothing but zeros at other tokens.

    Which tokens are read stands in the layout, for that comes along when activations are computed again.
    """

    def __init__(self, layer: nn.Module, network: nn.Module) -> None:
        self.read_R: Tensor | None = None  # None: all
        self.count = 0
        layer.register_forward_pre_hook(self._begin, with_kwargs=True)
        network.register_forward_pre_hook(self._pick)
        network.register_forward_hook(self._spread)

    def _begin(self, _: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        layout = named.get("layout")
        self.read_R = None if layout is None else layout.read_R

    def _pick(self, _: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if self.read_R is None:
            return None
        (hidden_1SD,) = given
        self.count = hidden_1SD.shape[1]
        picked_RD = hidden_1SD[0].index_select(0, self.read_R)
        return (functional.pad(picked_RD, (0, 0, 0, spare(len(picked_RD), picked_RD)))[None],)

    def _spread(self, _: nn.Module, given: tuple[Tensor, ...], output_1RD: Tensor) -> Tensor | None:
        if self.read_R is None:
            return None
        output_SD = output_1RD.new_zeros(self.count, output_1RD.shape[-1])
        return output_SD.index_copy(0, self.read_R, output_1RD[0, : len(self.read_R)])[None]


def narrow_last(lm: nn.Module) -> None:
    """Set a model up so. It stays as it is where no layer has a network named `mlp` that takes hidden states alone."""
    layers = [module for module in lm.modules() if "mlp" in dict(module.named_children())]
    if not layers or "narrow" in layers[-1].__dict__:
        return
    layer, network = layers[-1], layers[-1].get_submodule("mlp")
    if len(inspect.signature(network.forward).parameters) == 1:
        layer.narrow = Narrow(layer, network)  # type: ignore[assignment]
