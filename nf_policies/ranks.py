"""The processes of one training, its ranks, as torchrun starts them. The only file that knows torch.distributed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from nf_policies.stopping import check
from nf_policies.wording import in_short

PATIENCE = timedelta(days=1)
"""How long a rank waits for the others: the first one plays long evaluations, and who ends is noticed at once."""
Moments = tuple[int, Tensor, Tensor]
"""Count, mean and (biased) variance of some rows."""


class RankError(ValueError):
    """Processes that cannot begin or go on together; the message says why."""


@dataclass(frozen=True)
class Ranks:
    """Processes that compute together; by default this one alone, which sends nothing.

    What a method returns is the same in every rank, bit for bit: what comes from all of them is taken in their order.
    All must call the same methods in the same order.
    """

    number: int = 0
    """Of this process."""
    size: int = 1

    def gathered(self, mine: Tensor) -> Tensor:
        """Every rank's tensor (·), in their order. Shape: (size, ·)."""
        if self.size == 1:
            return mine[None]
        theirs = [torch.empty_like(mine, memory_format=torch.contiguous_format) for _ in range(self.size)]
        with _together():
            dist.all_gather(theirs, mine.contiguous())
        return torch.stack(theirs)

    def moments(self, rows: Tensor) -> list[Moments]:
        """Statistics of every rank's rows (n, ·), in their order; a rank may have none."""
        count = rows.new_tensor(len(rows), dtype=torch.float64)
        var, mean = torch.var_mean(rows, 0, correction=0) if len(rows) else 2 * (rows.new_zeros(rows.shape[1:]),)
        if self.size == 1:
            return [(len(rows), mean, var)]
        counts, means, variances = (self.gathered(part) for part in (count, mean, var))
        return [(int(n), *of_rank) for n, *of_rank in zip(counts.tolist(), means, variances, strict=True)]

    def standardised(self, mine: Tensor, least: float) -> Tensor:
        """Numbers (n,) by mean and standard deviation of all ranks' numbers; the latter counts as at least so much."""
        of_all = self.gathered(mine)
        return (mine - of_all.mean()) / (of_all.std() + 1e-8).clamp(min=least) if of_all.numel() > 1 else mine

    def all_of(self, mine: Any) -> list[Any]:
        """Every rank's object, in their order."""
        theirs = [mine] * self.size
        if self.size > 1:
            with _together():
                dist.all_gather_object(theirs, mine)
        return theirs

    def told(self, words: Any = None) -> Any:
        """What the first rank says; the others only listen."""
        said = [words]
        if self.size > 1:
            with _together():
                dist.broadcast_object_list(said, src=0)
        return said[0]


ALONE = Ranks()


@contextmanager
def ranks_of_torchrun() -> Iterator[Ranks]:
    """The ranks that this process belongs to: gloo connects them on CPUs, NCCL on GPUs. Without torchrun it is alone.

    Raises: RankError if they do not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or "RANK" not in os.environ:
        yield ALONE
        return
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise RankError(f"The processes do not find each other: {in_short(error)}") from error
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        with suppress(RuntimeError):
            dist.destroy_process_group()


def use_own_gpu() -> None:
    """Let "cuda" be the GPU of this rank: the first of a machine has its first one.

    Raises: RankError if there are fewer.
    """
    number, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
    if number >= there:
        raise RankError(
            f"Each process needs a GPU of its own, and there are {there}: torchrun --nproc-per-node {there}."
        )
    torch.cuda.set_device(number)


@contextmanager
def _together() -> Iterator[None]:
    """Say in a sentence that another rank has ended; if this one was asked to end as well, that counts."""
    try:
        yield
    except RuntimeError as error:  # gloo's and NCCL's, whose classes differ between versions
        check()
        raise RankError("Another process of this training has ended, and so does this one.") from error
    check()
