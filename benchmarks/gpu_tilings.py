"""How a field is best cut into programs on a GPU: microseconds per time step of its two passes, for some tilings.

    python benchmarks/gpu_tilings.py

The first tiling of each size is the one that `nf_policies.kernels.gpu.tiling` takes. Medians by `do_bench` of Triton,
over sequences that are long enough to hide the host.
"""

import torch
import tyro
from torch import Tensor

from nf_policies.kernels import gpu
from nf_policies.kernels.gpu import Tiling
from nf_policies.kernels.operator import Problem

SHAPES = ((1024, 64), (256, 8192), (64, 65536))
"""Time steps and sequences."""
NUMBERS_MAX = 2**28
OTHERS: dict[int, list[tuple[int, int, int, str]]] = {
    8: [(32, 32, 1, "sum"), (64, 32, 2, "sum"), (64, 64, 4, "sum")],
    16: [(16, 8, 1, "tf32x3"), (16, 8, 1, "ieee"), (16, 16, 1, "ieee"), (16, 16, 4, "ieee"), (8, 8, 1, "sum")],
    32: [(16, 8, 2, "tf32x3"), (16, 16, 4, "ieee"), (16, 8, 1, "tf32x3")],
    64: [(16, 8, 4, "ieee"), (16, 8, 8, "ieee"), (32, 16, 4, "tf32x3"), (16, 8, 8, "tf32x3")],
    128: [(16, 8, 8, "ieee"), (16, 8, 4, "tf32x3"), (32, 16, 8, "tf32x3")],
}
"""Sequences of a program, forward and backward, its warps and the precision of products, by neurons."""


def problem(time: int, batch: int, hidden: int) -> Problem:
    """A cubic field with three inputs, two outputs and a reset in a hundred steps."""
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape: int, scale: float = 0.5) -> Tensor:
        return scale * torch.randn(*shape, device="cuda", generator=generator)

    ones = torch.ones(hidden, device="cuda")
    return Problem(
        inputs=normal(time, batch, 3),
        potentials=torch.zeros(batch, hidden, device="cuda"),
        episode_starts=torch.rand(time, batch, device="cuda", generator=generator) < 0.01,
        lateral=normal(hidden, hidden, scale=0.5 / hidden**0.5),
        neurons=torch.stack([0 * ones, 0.2 * ones, ones, 0 * ones, 0 * ones, 0.05 * ones]),
        weights_in=normal(hidden, 3),
        bias_in=normal(hidden),
        weights_out=normal(2, hidden),
        bias_out=normal(2),
        activation="tanh",
        power=2,
        leak=1.0,
    )


def microseconds(p: Problem) -> str:
    """Of the two passes, per time step."""
    from triton.testing import do_bench

    outputs, trajectory = gpu.forward(p)
    d_outputs = torch.randn_like(outputs)
    passes = lambda: gpu.forward(p), lambda: gpu.backward(p, trajectory, d_outputs, None, False)
    took = (do_bench(run, warmup=5, rep=25, return_mode="median") for run in passes)
    return " ".join(f"{1e3 * milliseconds / len(p.inputs):8.3f}" for milliseconds in took)


def main() -> None:
    """Print a line for each tiling."""
    if not (torch.cuda.is_available() and gpu.hidden_max(torch.device("cuda"))):
        raise SystemExit("This benchmark needs an NVIDIA GPU (Ampere or later) and Triton; this machine lacks one.")
    chosen = gpu.tiling
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}; microseconds per step, forward and backward")
    columns = "".join(f"{f'{time} x {batch}':>20}" for time, batch in SHAPES)
    print("neurons, tiles, warps, products   " + columns)
    for hidden, others in OTHERS.items():
        for cut in (chosen(hidden), *(Tiling(hidden, *other) for other in others)):
            gpu.tiling = lambda _, cut=cut: cut  # type: ignore[misc]
            found = [
                microseconds(problem(time, batch, hidden)) if time * batch * hidden <= NUMBERS_MAX else 17 * " "
                for time, batch in SHAPES
            ]
            name = f"{hidden:4d} {cut.forward:3d} {cut.backward:3d} {cut.warps} {cut.precision:7s}"
            print(f"{name:<34}" + "   ".join(found), flush=True)
    gpu.tiling = chosen


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
