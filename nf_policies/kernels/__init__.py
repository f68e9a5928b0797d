"""Compiled steps of a `Problem`; they know no field. Each type of device has its solver."""

from nf_policies.kernels import cpu, gpu
from nf_policies.kernels.operator import SOLVERS

SOLVERS.update(cpu=cpu, cuda=gpu)
