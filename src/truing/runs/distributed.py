"""Several processes that learn together, one share of the data each. With one process nothing here does anything.

They are started by `torchrun`, which tells each its number in the environment. What they send each other is bytes of
JSON and safetensors, never pickle: who reaches the port can run nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
from safetensors.torch import load as tensors_of
from safetensors.torch import save as bytes_of
from torch import Tensor, distributed, nn

from truing.errors import RunEnds, UserError

PATIENCE = timedelta(minutes=30)  # for the slowest process, say at a reward server; then all end
BUCKET = 2**24  # numbers added up in one message: few messages, little memory
T = TypeVar("T")
_noticed: list[distributed.Store] = []  # what all can read and count in, while they are joined


def count() -> int:
    """How many processes learn together."""
    return distributed.get_world_size() if _noticed else 1


def rank() -> int:
    """The number of this one. The first is 0: it alone writes and shows."""
    return distributed.get_rank() if _noticed else 0


@contextmanager
def joined() -> Iterator[None]:
    """Within it the processes that were started together are one training.

    Where several fail of one cause, only the first to fail goes on with its error; the others end without a word.
    """
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    # Its functions take the group of now as a default: first imported later, they would hold it and its threads until
    # Python itself is taken down, and a thread that is still busy then aborts the process.
    import torch.distributed.nn

    store, own, several = next(distributed.rendezvous("env://", timeout=PATIENCE))
    here, accelerators = int(os.environ.get("LOCAL_WORLD_SIZE", several)), torch.cuda.device_count()
    if accelerators:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", own)) % accelerators)
    backend = "cpu:gloo,cuda:nccl" if 0 < here <= accelerators else "gloo"  # NCCL refuses two on one accelerator
    distributed.init_process_group(backend, store=store, rank=own, world_size=several, timeout=PATIENCE)
    _noticed.append(store)
    try:
        yield
    except BaseException as error:
        if not is_first_with("failed"):
            raise SystemExit(error.code if isinstance(error, UserError | RunEnds | SystemExit) else 1) from None
        raise
    finally:
        _noticed.clear()
        distributed.destroy_process_group()


def is_first_with(word: str) -> bool:
    """Whether no process has asked this about the word before: what all would tell the person is told once."""
    if not _noticed:
        return True
    try:
        return _noticed[0].add(word, 1) == 1
    except RuntimeError:
        return True  # whoever kept count is gone: better told twice than never


def share(items: int) -> Tensor:
    """Which of so many items are this process's: neighbours, so that the shares end to end are all in order."""
    return torch.arange(items * rank() // count(), items * (rank() + 1) // count())


def add_up(parameters: Sequence[nn.Parameter]) -> None:
    """Add up the gradients of all processes, in all of them. Where none has a gradient, none appears."""
    if count() == 1:
        return
    present = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32)
    _all_reduce(present)
    learning = [p for p, processes in zip(parameters, present.tolist(), strict=True) if processes]
    for parameter in learning:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets(learning):
        flat = torch.cat([p.grad.flatten() for p in bucket])  # type: ignore[union-attr]
        _all_reduce(flat)
        for parameter, own in zip(bucket, flat.split([p.numel() for p in bucket]), strict=True):
            parameter.grad.copy_(own.view_as(parameter))  # type: ignore[union-attr]


def added(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor summed over the processes that have it."""
    if count() == 1:
        return tensors
    shapes = {
        name: shape for one in gathered({n: list(t.shape) for n, t in tensors.items()}) for name, shape in one.items()
    }
    sums = {name: tensors.get(name, torch.zeros(shape)).cpu() for name, shape in shapes.items()}
    for tensor in sums.values():
        _all_reduce(tensor)
    return sums


def summed(figures: Mapping[str, float]) -> dict[str, float]:
    """Each figure summed over the processes that have it, in the same order everywhere: the same bits everywhere."""
    if count() == 1:
        return dict(figures)
    sums: dict[str, float] = {}
    for one in gathered(dict(figures)):
        for name, value in one.items():
            sums[name] = sums.get(name, 0.0) + value
    return sums


def largest(number: int) -> int:
    """The largest that any process has."""
    return max(gathered(number)) if count() > 1 else number


def gathered(value: T) -> list[T]:
    """What each process has, in their order. It must survive JSON."""
    if count() == 1:
        return [value]
    return [json.loads(told) for told in _exchanged(json.dumps(value).encode())]


def end_to_end(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of all processes by name, each the shares laid end to end. Who had nothing to do may give none."""
    if count() == 1:
        return tensors
    shares = [tensors_of(told) for told in _exchanged(bytes_of({name: t.contiguous() for name, t in tensors.items()}))]
    names = list(dict.fromkeys(name for one in shares for name in one))
    return {name: torch.cat([one[name] for one in shares if name in one]) for name in names}


def by_first(work: Callable[[], T]) -> T:
    """What the first process gets from this work, told to all. Raises in all of them what ends the run in it."""
    if count() == 1:
        return work()
    told: dict[str, Any] = {}
    if rank() == 0:
        try:
            told = {"value": work()}
        except (UserError, RunEnds) as error:
            told = {"refused": str(error), "code": error.code}
    told = gathered(told)[0]
    if "refused" in told:
        raise RunEnds(told["refused"], told["code"])
    return told["value"]


def _exchanged(own: bytes) -> list[bytes]:
    """The bytes of each process."""
    lengths = _all_gather(torch.tensor([len(own)]))
    padded = torch.zeros(int(max(lengths)), dtype=torch.uint8)
    padded[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8)
    return [row[: int(length)].numpy().tobytes() for row, length in zip(_all_gather(padded), lengths, strict=True)]


def _buckets(parameters: Sequence[nn.Parameter]) -> Iterator[list[nn.Parameter]]:
    """Neighbours of one type and place, at most BUCKET numbers together where one alone is not more."""
    bucket: list[nn.Parameter] = []
    for p in parameters:
        full = bucket and sum(q.numel() for q in bucket) + p.numel() > BUCKET
        if bucket and (full or (p.dtype, p.device) != (bucket[0].dtype, bucket[0].device)):
            yield bucket
            bucket = []
        bucket.append(p)
    if bucket:
        yield bucket


def _all_reduce(tensor: Tensor) -> None:
    with _reached():
        distributed.all_reduce(tensor)


def _all_gather(tensor: Tensor) -> list[Tensor]:
    several = [torch.empty_like(tensor) for _ in range(count())]
    with _reached():
        distributed.all_gather(several, tensor)
    return several


@contextmanager
def _reached() -> Iterator[None]:
    """Where the others cannot be reached, that is said in one line."""
    try:
        yield
    except RuntimeError as error:
        what = str(error).strip().splitlines()[0][:200]
        raise RunEnds(f"another process of this run has ended or hangs ({what}); the same command goes on from what is "
                      "saved", 1) from error  # fmt: skip
