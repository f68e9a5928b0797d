"""The recurrence in Triton, forward and backward: one program per tile of sequences, all time steps inside.

    s = x + M a,  u' = clamp(u + rate (s + d (c0 + c1 |d|^k + c2 |d|^2k))),  d = h - u,  a = phi(scale (u + bias))

A tile lies as (hidden_tile, batch_tile) across a program's threads; its padding has parameters and adjoints of zero.
Programs never wait for each other and keep their sums apart, so results repeat to the bit. Only
`nf_policies.kernels.gpu` imports this module, since Triton comes with PyTorch for GPUs alone.
"""

import triton
import triton.language as tl

from nf_policies.kernels.operator import POTENTIALS_MAX
from nf_policies.kernels.triton_formulas import internal, leak, phi, product, row, slope, square

LIMIT = tl.constexpr(POTENTIALS_MAX)
SUMS = ("g", "leak", "leak_slope", "scale", "z", "initial", "c1", "c2")
"""What `backward` sums over time and a tile's sequences, in its order of rows."""
N_SUMS = tl.constexpr(len(SUMS))


@triton.jit(do_not_specialize=["time", "batch"])
def forward(
    stimuli: tl.tensor, potentials: tl.tensor, starts: tl.tensor, lateral: tl.tensor, neurons: tl.tensor,
    trajectory: tl.tensor, activations: tl.tensor,
    time: tl.tensor, batch: tl.tensor, c0: tl.tensor,
    hidden: tl.constexpr, hidden_tile: tl.constexpr, batch_tile: tl.constexpr, power: tl.constexpr, terms: tl.constexpr,
    tanh: tl.constexpr, resets: tl.constexpr, reads: tl.constexpr, precision: tl.constexpr,
) -> None:  # fmt: skip
    """Potentials of all time steps, and their activations if there is an output layer that `reads` them.

    Stimuli, trajectory and activations: (time, batch, hidden); potentials: (batch, hidden); starts, if there are
    `resets`: bytes (time, batch); lateral: (hidden, hidden); neurons: (5 + terms, hidden). All are contiguous.
    """
    i = tl.arange(0, hidden_tile)
    j = tl.program_id(0) * batch_tile + tl.arange(0, batch_tile)
    at = i[:, None] + j[None, :] * hidden
    inside = (i < hidden)[:, None] & (j < batch)[None, :]
    step = batch.to(tl.int64) * hidden

    matrix = square(lateral, i, hidden)
    h, rate, scale = row(neurons, 0, i, hidden), row(neurons, 1, i, hidden), row(neurons, 2, i, hidden)
    bias, initial = row(neurons, 3, i, hidden), row(neurons, 4, i, hidden)
    c1 = row(neurons, 5, i, hidden) if terms > 0 else h
    c2 = row(neurons, 6, i, hidden) if terms > 1 else h
    a_initial = phi(scale * (initial + bias), tanh)

    u = tl.load(potentials + at, mask=inside, other=0.0)
    a = phi(scale * (u + bias), tanh)
    x = tl.load(stimuli + at, mask=inside, other=0.0)
    for t in range(time):
        stimuli += step
        x_next = tl.load(stimuli + at, mask=inside & (t + 1 < time), other=0.0)  # on its way during this step
        if resets:
            starting = (tl.load(starts + j, mask=j < batch, other=0) != 0)[None, :]
            u = tl.where(starting, initial, u)
            a = tl.where(starting, a_initial, a)
            starts += batch
        d = h - u
        _, value, _ = leak(d, c0, c1, c2, power, terms)
        u += rate * (x + product(matrix, a, precision) + d * value)
        u = tl.where(u > LIMIT, LIMIT, tl.where(u < -LIMIT, -LIMIT, u))  # NaN stays NaN
        a = phi(scale * (u + bias), tanh)
        tl.store(trajectory + at, u, mask=inside)
        trajectory += step
        if reads:
            tl.store(activations + at, a, mask=inside)
            activations += step
        x = x_next


@triton.jit(do_not_specialize=["time", "batch"])
def backward(
    stimuli: tl.tensor, potentials: tl.tensor, starts: tl.tensor, lateral: tl.tensor, lateral_rate: tl.tensor,
    neurons: tl.tensor, trajectory: tl.tensor, d_trajectory: tl.tensor, d_activations: tl.tensor,
    g: tl.tensor, before: tl.tensor, after: tl.tensor, d_potentials: tl.tensor, sums: tl.tensor,
    time: tl.tensor, batch: tl.tensor, c0: tl.tensor,
    hidden: tl.constexpr, hidden_tile: tl.constexpr, batch_tile: tl.constexpr, power: tl.constexpr, terms: tl.constexpr,
    tanh: tl.constexpr, resets: tl.constexpr, reads: tl.constexpr, watched: tl.constexpr, precision: tl.constexpr,
) -> None:  # fmt: skip
    """What the gradients of parameters and inputs are made of, and that of the first potentials.

    Read, as in `forward`: stimuli to trajectory; lateral_rate (hidden, hidden), the transposed M times its targets'
    rates; d_trajectory, if the potentials are `watched`, and d_activations, if an output layer `reads`, both (time,
    batch, hidden). Written: g, the adjoint of the potentials, which times rate is that of the stimuli; the activations
    before and, if read, after each step, all (time, batch, hidden); d_potentials (batch, hidden); sums (programs,
    N_SUMS, hidden).
    """
    i = tl.arange(0, hidden_tile)
    j = tl.program_id(0) * batch_tile + tl.arange(0, batch_tile)
    at = i[:, None] + j[None, :] * hidden
    inside = (i < hidden)[:, None] & (j < batch)[None, :]
    step = batch.to(tl.int64) * hidden
    last = (time - 1) * step
    stimuli += last
    trajectory += last
    d_trajectory += last
    d_activations += last
    g += last
    before += last
    after += last
    starts += (time - 1) * batch.to(tl.int64)

    matrix = square(lateral_rate, i, hidden)
    h, rate, scale = row(neurons, 0, i, hidden), row(neurons, 1, i, hidden), row(neurons, 2, i, hidden)
    bias, initial = row(neurons, 3, i, hidden), row(neurons, 4, i, hidden)
    c1 = row(neurons, 5, i, hidden) if terms > 0 else h
    c2 = row(neurons, 6, i, hidden) if terms > 1 else h
    a_initial = phi(scale * (initial + bias), tanh)

    zero = tl.zeros((hidden_tile, batch_tile), tl.float32)
    du, da = zero, zero
    sum_g, sum_leak, sum_leak_slope, sum_scale = zero, zero, zero, zero
    sum_z, sum_initial, sum_c1, sum_c2 = zero, zero, zero, zero
    u = tl.load(trajectory + at, mask=inside, other=0.0)
    a = phi(scale * (u + bias), tanh)
    source = potentials if time == 1 else trajectory - step
    u_left = tl.load(source + at, mask=inside, other=0.0)  # by the step before, without a reset
    da_out = tl.load(d_activations + at, mask=inside, other=0.0) if reads else zero
    du_out = tl.load(d_trajectory + at, mask=inside, other=0.0) if watched else zero
    for k in range(time):
        trajectory -= step
        earlier = potentials if k + 2 >= time else trajectory - step
        on_its_way = inside & (k + 1 < time)
        u_next = tl.load(earlier + at, mask=on_its_way, other=0.0)
        da_next, du_next = zero, zero
        if reads:
            d_activations -= step
            da_next = tl.load(d_activations + at, mask=on_its_way, other=0.0)
        if watched:
            d_trajectory -= step
            du_next = tl.load(d_trajectory + at, mask=on_its_way, other=0.0)

        a_left = phi(scale * (u_left + bias), tanh)
        u_before, a_before = u_left, a_left
        if resets:
            starting = (tl.load(starts + j, mask=j < batch, other=0) != 0)[None, :]
            u_before = tl.where(starting, initial, u_left)
            a_before = tl.where(starting, a_initial, a_left)

        # Through the activation after this step to its potentials.
        dz = slope(a, tanh) * (da + da_out)
        sum_scale += (u + bias) * dz
        sum_z += dz
        adjoint = du + scale * dz + du_out

        # Through the step to the potentials and activations before it.
        d = h - u_before
        p, value, derivative = leak(d, c0, c1, c2, power, terms)
        if tl.max(tl.abs(u)) >= LIMIT:  # cut to the bound, which ends the gradient, or there by itself: go and see
            x = tl.load(stimuli + at, mask=inside, other=0.0)
            s = x + internal(
                lateral, neurons, source, starts, i, j, batch, hidden, hidden_tile, tanh, resets, precision
            )
            uncut = u_before + rate * (s + d * value)
            adjoint = tl.where((tl.abs(u) >= LIMIT) & (tl.abs(uncut) > LIMIT), 0.0, adjoint)
        stimuli -= step
        if resets:
            starts -= batch
        g_d = adjoint * d
        sum_g += adjoint
        sum_leak += g_d * value
        sum_leak_slope += adjoint * derivative
        if terms > 0:
            sum_c1 += g_d * p
        if terms > 1:
            sum_c2 += g_d * (p * p)
        tl.store(g + at, adjoint, mask=inside)
        tl.store(before + at, a_before, mask=inside)
        g -= step
        before -= step
        if reads:
            tl.store(after + at, a, mask=inside)
            after -= step
        du = adjoint - rate * adjoint * derivative
        da = product(matrix, adjoint, precision)

        # A reset turns the gradient to the initial potentials.
        if resets:
            dz = tl.where(starting, slope(a_before, tanh) * da, 0.0)
            sum_scale += (u_before + bias) * dz
            sum_z += dz
            sum_initial += tl.where(starting, du, 0.0) + scale * dz
            du = tl.where(starting, 0.0, du)
            da = tl.where(starting, 0.0, da)
        u, a = u_left, a_left
        u_left, da_out, du_out, source = u_next, da_next, du_next, earlier

    dz = slope(a, tanh) * da
    sum_scale += (u + bias) * dz
    sum_z += dz
    tl.store(d_potentials + at, du + scale * dz, mask=inside)

    sums += tl.program_id(0) * N_SUMS * hidden + i
    tl.store(sums, tl.sum(sum_g, axis=1), mask=i < hidden)
    tl.store(sums + hidden, tl.sum(sum_leak, axis=1), mask=i < hidden)
    tl.store(sums + 2 * hidden, tl.sum(sum_leak_slope, axis=1), mask=i < hidden)
    tl.store(sums + 3 * hidden, tl.sum(sum_scale, axis=1), mask=i < hidden)
    tl.store(sums + 4 * hidden, tl.sum(sum_z, axis=1), mask=i < hidden)
    tl.store(sums + 5 * hidden, tl.sum(sum_initial, axis=1), mask=i < hidden)
    tl.store(sums + 6 * hidden, tl.sum(sum_c1, axis=1), mask=i < hidden)
    tl.store(sums + 7 * hidden, tl.sum(sum_c2, axis=1), mask=i < hidden)
