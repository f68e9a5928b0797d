"""What the header of a model's file holds, and what is refused in it."""

from typing import Annotated, Any, NotRequired, Required, TypedDict

from msgspec import Meta

from nf_policies import tensor_files


class ModelFileError(ValueError):
    """A model's file that cannot be read; the message says which and why."""


class Episode(TypedDict):
    """Return and length of one of the latest episodes."""

    r: float
    l: float  # noqa: E741 (SB3's name)
    t: NotRequired[float]


class State(TypedDict):
    """What a model has counted, and its optimiser's options."""

    parts: list[str]
    param_groups: list[dict[str, Any]]
    """Compared with those of the model that takes them."""
    counts: dict[str, float]
    episodes: list[Episode]


Count = Annotated[int, Meta(ge=1, le=2**20)]
Share = Annotated[float, Meta(ge=0, le=1)]
Factor = Annotated[float, Meta(ge=0, le=1e6)]
Number = Annotated[float, Meta(ge=-1e6, le=1e6)]


class Arguments(TypedDict, total=False):
    """Those of the constructor whose values it does not check itself."""

    policy_kwargs: Required[dict[str, Any]]
    """Checked by the policy's constructor, but for the sizes, which are compared with those of the tensors."""
    learning_rate: Factor
    n_steps: Count
    batch_size: Annotated[int, Meta(ge=1)]
    n_epochs: Count
    seq_len: Count | None
    gamma: Share
    horizon_growth: Annotated[float, Meta(ge=1, le=1e6)]
    gae_lambda: Share
    clip_range: Factor
    clip_range_vf: Factor | None
    ent_coef: Number
    vf_coef: Number
    max_grad_norm: Factor
    target_kl: Factor | None
    stats_window_size: Count
    sde_sample_freq: Annotated[int, Meta(ge=-1)]
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None
    tensorboard_log: str | None
    verbose: int
    compile: bool
    normalize_advantage: bool
    normalize_rewards: bool
    recompute_potentials: bool
    use_sde: bool


class Header(State):
    """The header of a model's file."""

    arguments: Arguments
    missing: list[str]
    n_envs: Count
    observation_space: dict[str, Any]
    action_space: dict[str, Any]


KIND = tensor_files.Kind("model", ModelFileError, "nf_policies_model", version=1, oldest=1, schema=Header)
