"""Tasks that a policy without memory fails by construction: at the time of the answer nothing shows it."""

from nf_envs.memory.count_parity import CountParity
from nf_envs.memory.repeat_first import RepeatFirst
from nf_envs.memory.repeat_previous import RepeatPrevious
from nf_envs.memory.t_maze import TMaze

__all__ = ["CountParity", "RepeatFirst", "RepeatPrevious", "TMaze"]
