"""What the numbers of a state are, as msgspec checks them before anything is made of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired, TypedDict

import msgspec
from msgspec import Meta
from torch import Tensor

from nf_policies.evolution.stages import WIDER, Horizon, Plateau, larger
from nf_policies.fields.dynamics import under
from nf_policies.policies.files import check_tensors
from nf_policies.policies.numbers import check_returns

Count = Annotated[int, Meta(ge=0, le=2**53)]


class SearchNumbers(TypedDict):
    """Of a `Strategy`."""

    made_with: dict[str, Any]
    """Compared with what the strategy is made with."""
    begun: tuple[float, dict[Literal["popsize", "maxiter"], float]]
    search: dict[str, Any]
    """What `pycma_state` captured; tried out once it is restored."""
    generator: dict[str, Any]
    generation: Count
    evaluations: Count
    not_finite: Count
    stop_reasons: dict[str, Count]
    _spent: dict[Literal["small", "large"], Count]
    _regime: Literal["first", "small", "large"]
    _doublings: Annotated[int, Meta(ge=0, le=62)]


class EvolutionNumbers(TypedDict):
    """Of an `Evolution`."""

    strategy: dict[str, Any]
    plateau: Plateau
    seed: int
    stage: Annotated[int, Meta(ge=0, le=62)]
    iteration: Count
    env_steps: Count
    evaluations: Count
    improved_at: Count
    episodes: Annotated[int, Meta(ge=1, le=2**31)]
    not_finite: Count
    problem: str | None
    horizon: Horizon
    width: Annotated[float, Meta(ge=1, le=WIDER)]
    incumbent_episodes: NotRequired[Annotated[int, Meta(ge=1, le=2**31)]]
    incumbent_stage: NotRequired[Annotated[int, Meta(ge=0, le=62)]]


def check_numbers(numbers: Any) -> None:
    """Refuse, with a TypeError, numbers of an evolution that are not of the schema."""
    try:
        msgspec.convert(numbers, EvolutionNumbers)
    except msgspec.ValidationError as error:
        raise TypeError(str(error)) from error


def candidates_of(search: Mapping[str, Any]) -> int:
    """Candidates of a generation in the numbers of a search, which hold a weight for each."""
    return len(search["search"]["attributes"]["sp"]["attributes"]["weights"]["items"])


def check_sizes(
    numbers: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    neurons: int,
    pop_size: int,
    episodes_max: int,
    horizon: Horizon,
) -> None:
    """Refuse, with a TypeError or ValueError, a state of other sizes before anything of these sizes is made.

    Args:
        numbers: Of an evolution.
        tensors: Of an evolution.
        neurons: Of the policy of its stage.
        pop_size: Candidates of a generation in its first stage.
        episodes_max: Of a candidate.
        horizon: At its start.
    """
    for prefix in ("policy", "incumbent"):
        if held := under(tensors, prefix):
            check_tensors(held)
    if tensors["policy.field.output_embedding.weight"].shape[-1] != neurons:
        raise TypeError(f"its policy does not have {neurons} neurons")
    if numbers.get("incumbent_stage", 0) > numbers["stage"]:
        raise TypeError("its best policy is of a later stage")
    if pop_size * larger(numbers["stage"])[0] > candidates_of(numbers["strategy"]):
        raise TypeError("it is of another population")
    now = Horizon(**numbers["horizon"])
    is_within = 1 <= now.steps <= now.whole and 0 <= now.stretch <= now.whole
    if (now.first, now.whole) != (horizon.first, horizon.whole) or not is_within:
        raise TypeError("its horizon is not of these episodes")
    if max(numbers["episodes"], numbers.get("incumbent_episodes", 1)) > episodes_max:
        raise TypeError("it is of more episodes")
    if "incumbent_returns" in tensors:
        check_returns(tensors["incumbent_returns"])
