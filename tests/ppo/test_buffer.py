"""Sequences out of the buffer are what went in, each once, with the memory that each began with."""

import pytest
import torch
from gymnasium import spaces

from nf_policies.policies.numbers import check_numbers
from nf_policies.ppo.buffer import Evaluated, Outcome, SequenceBuffer

N_STEPS, NUM_ENVS = 12, 3
SPACES = (spaces.Box(-1, 1, (1,)), spaces.Discrete(2))


def put(buffer: SequenceBuffer, number: torch.Tensor, real: torch.Tensor | None = None) -> None:
    """One step, in which everything is a number of (environment, step), in float64 so that it is exact."""
    no = torch.zeros(len(number), dtype=torch.bool)
    buffer.begin(number[:, None], no, wait=real is not None)
    buffer.add(Outcome(number[:, None], number, no, no, number[:, None] + 1), real)


def filled(seq_len: int, n_steps: int = N_STEPS, num_envs: int = NUM_ENVS) -> SequenceBuffer:
    """Everything is 1000 * environment + step, potentials and values too."""
    buffer = SequenceBuffer(n_steps, *SPACES, "cpu", 0.95, 0.99, num_envs, seq_len=seq_len)
    for step in range(n_steps):
        put(buffer, 1000.0 * torch.arange(num_envs, dtype=torch.float64) + step)
    number = buffer.stored["features"]
    evaluated = Evaluated(number, (number + 1,), number[..., 0], number[..., 0])
    buffer.finish(number[0], evaluated, lambda obs, potentials: potentials[:, 0])
    return buffer


@pytest.mark.parametrize("seq_len", [1, 3, 4, 12])
@pytest.mark.parametrize("per_batch", [1, 2, 5, 100])
def test_every_sequence_is_contiguous_appears_once_and_begins_with_its_own_potentials(seq_len, per_batch) -> None:
    buffer = filled(seq_len)
    firsts = []
    for batch in buffer.get(per_batch * seq_len):
        features, potentials, starts = batch.observations
        assert features.shape[0] == starts.shape[0] == seq_len
        for s in range(features.shape[1]):
            torch.testing.assert_close(features[:, s, 0] - features[0, s, 0], torch.arange(seq_len).double())
            assert features[0, s, 0] % 1000 % seq_len == 0
        torch.testing.assert_close(potentials, features[0])
        for flat in (batch.actions[:, 0], batch.old_values, batch.old_log_prob):
            torch.testing.assert_close(flat.reshape(features.shape[:2]), features[..., 0])
        firsts += features[0, :, 0].tolist()
    assert sorted(firsts) == [1000 * e + s for e in range(NUM_ENVS) for s in range(0, N_STEPS, seq_len)]


def test_two_epochs_come_in_different_order() -> None:
    buffer = filled(1)
    first, second = ([b.old_values.tolist() for b in buffer.get(2)] for _ in range(2))
    assert first != second


def test_the_value_after_a_step_is_the_next_ones() -> None:
    buffer = filled(4)
    torch.testing.assert_close(buffer.stored["next_values"], buffer.stored["values"] + 1)


def test_resets_that_were_no_step_leave_no_row_and_other_environments_wait() -> None:
    buffer = SequenceBuffer(4, *SPACES, "cpu", n_envs=2, seq_len=2)
    played, counts = 0, torch.zeros(2)
    while not buffer.full:
        # Environment 1 only resets in every third turn.
        real = torch.tensor([True, played % 3 != 2])
        numbers = torch.tensor([0.0, 1000.0], dtype=torch.float64) + counts
        put(buffer, numbers, real)
        counts, played = counts + real, played + 1
    assert played == 5
    expected = torch.tensor([[0, 1000], [1, 1001], [2, 1002], [3, 1003]], dtype=torch.float64)
    torch.testing.assert_close(buffer.stored["features"][..., 0], expected)


@pytest.mark.parametrize("what", ["reward", "observation"])
def test_what_is_not_finite_is_refused_by_name(what) -> None:
    values = torch.zeros(4, 3, 2)
    values[1, 2, 0] = float("nan")
    with pytest.raises(ValueError, match=f"The {what} of environment 2 at step 1 of the rollout is nan"):
        check_numbers(what, values)
    with pytest.raises(ValueError, match=f"The {what} 'key' of environment 2 at step 7"):
        check_numbers(what, {"key": values[1]}, 7)


def test_refreshed_potentials_are_those_of_the_function_at_each_sequences_start() -> None:
    buffer = filled(3)
    buffer.trajectories = lambda whole: (whole.features * 2 + whole.potentials,)
    for batch in buffer.get(3):
        features, potentials, _ = batch.observations
        env, step = divmod(int(features[0, 0, 0]), 1000)
        first = 1000.0 * env
        assert potentials.item() == (first if step == 0 else 2 * (first + step - 1) + first)
