"""One process: nothing happens. Two: what one would have done.

Broken on purpose, each red: shares that overlap; gradients not added up; a missing gradient not counted as zeros;
figures summed of what one process has only.
"""

import pytest
import torch
from torch import nn

from truing.errors import UserError
from truing.runs import distributed


def test_one_process_does_everything_and_nothing_is_sent():
    assert (distributed.count(), distributed.rank()) == (1, 0)
    assert distributed.share(3).tolist() == [0, 1, 2] and distributed.share(0).tolist() == []
    assert distributed.share(0).dtype == torch.long
    weight = nn.Parameter(torch.ones(2))
    distributed.add_up([weight])
    assert weight.grad is None
    weight.grad = torch.tensor([1.0, 2.0])
    distributed.add_up([weight])
    assert weight.grad.tolist() == [1, 2]
    tensors = {"a": torch.ones(2)}
    assert distributed.summed({"loss": 0.1}) == {"loss": 0.1} and distributed.added(tensors) is tensors
    assert distributed.gathered([1]) == [[1]] and distributed.largest(3) == 3
    assert distributed.end_to_end(tensors) is tensors and distributed.by_first(lambda: 5) == 5
    assert distributed.is_first_with("word") and distributed.is_first_with("word")  # nobody else to tell it
    with distributed.joined():
        assert distributed.count() == 1


HELD = """
import atexit, weakref
import torch.distributed
group = weakref.ref(torch.distributed.group.WORLD)
atexit.register(lambda: print("held" if group() else "gone"))
import peft, truing.cli
from truing.models.loading import load_policy
load_policy({model!r})
distributed.gathered(1)
"""


def test_no_thread_of_the_group_outlives_it(together, tiny_model):
    """Broken on purpose: torch.distributed.nn not imported before the group is there -> red, held at the end."""
    told, _ = together(HELD.format(model=tiny_model), several=2)
    assert all(out.endswith("gone\n") for out in told), told


SEVERAL = """
rank = distributed.rank()
assert distributed.count() == 3
# 7 items: each in one share, in order; 2 items: one process has none.
assert distributed.gathered(distributed.share(7).tolist()) == [[0, 1], [2, 3], [4, 5, 6]]
assert distributed.gathered(distributed.share(2).tolist()) == [[], [0], [1]]
# 1 + 2 + 4 = 7; the second weight has a gradient in the last process only, the third in none.
distributed.BUCKET = 3
weights = [nn.Parameter(torch.ones(2, 1)), nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(1))]
weights[0].grad = torch.full((2, 1), float(2 ** rank))
if rank == 2:
    weights[1].grad = torch.tensor([1.0, 2.0, 3.0])
distributed.add_up(weights)
assert weights[0].grad.tolist() == [[7], [7]] and weights[1].grad.tolist() == [1, 2, 3] and weights[2].grad is None
sums = distributed.summed({"loss": 0.5 * rank, **({"rare": 2.0} if rank == 1 else {})})
assert sums == {"loss": 1.5, "rare": 2.0}, sums
assert str(distributed.summed({"loss": float("nan") if rank == 1 else 1.0})) == "{'loss': nan}"
pulls = distributed.added({"policy": torch.ones(2)} if rank else {})
assert pulls["policy"].tolist() == [2, 2]
assert distributed.largest(rank * 10) == 20
tensors = {"score_B": torch.arange(rank) + 0.1 * rank, "cut_B": torch.tensor([rank == 2] * rank)} if rank else {}
ends = distributed.end_to_end(tensors)
assert torch.equal(ends["score_B"], torch.tensor([0.1, 0.2, 1.2])) and ends["cut_B"].tolist() == [False, True, True]
assert distributed.by_first(lambda: f"from {rank}") == "from 0"
print(distributed.is_first_with("word"))
from truing.errors import RunEnds, UserError
def refuse():
    assert rank == 0
    raise UserError("no such file")
try:
    distributed.by_first(refuse)
except (RunEnds, UserError) as error:
    assert str(error) == "no such file" and error.code == 2
"""


def test_three_processes_know_what_one_would(together):
    out, _ = together(SEVERAL, several=3)
    assert sorted(out) == ["False\n", "False\n", "True\n"]


def test_an_error_of_all_is_told_by_one(together):
    _, errors = together("raise RuntimeError('broken everywhere')", expected=1)
    assert sorted("broken everywhere" in error for error in errors) == [False, True]


def test_a_lost_process_is_told_in_one_line(together):
    code = """
from truing.errors import RunEnds
if distributed.rank() == 1:
    raise SystemExit(1)
try:
    distributed.gathered(1)
except RunEnds as error:
    print(error)
raise SystemExit(1)
"""
    out, _ = together(code, expected=1)
    assert "another process of this run has ended" in out[0] and out[0].count("\n") == 1


def test_a_refusal_of_one_process_alone_is_its_own():
    with pytest.raises(UserError, match="mine"):
        distributed.by_first(lambda: (_ for _ in ()).throw(UserError("mine")))
