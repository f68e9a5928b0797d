"""Tasks that need memory by construction: the observation at the time of an answer does not contain it."""

from nf_envs.memory.count_parity import CountParity
from nf_envs.memory.repeat_first import RepeatFirst
from nf_envs.memory.repeat_previous import RepeatPrevious
from nf_envs.memory.t_maze import TMaze

__all__ = ["CountParity", "RepeatFirst", "RepeatPrevious", "TMaze"]
