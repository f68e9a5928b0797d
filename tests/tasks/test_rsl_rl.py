"""Environments of rsl_rl: groups of observations, time-outs, and tensors that stay on their device."""

from typing import Any

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from nf_policies.ppo import FieldPPO
from nf_policies.tasks.rsl_rl import RslRlVectorEnv

LIMIT = 4


class Groups(dict):
    """Where tensordict is not installed."""


def groups_of(tensors: dict[str, torch.Tensor], num_envs: int) -> Any:
    try:
        from tensordict import TensorDict
    except ImportError:
        return Groups(tensors)
    return TensorDict(tensors, batch_size=[num_envs])


class Cart:
    """Carts with hidden velocities. Odd ones terminate after 3 steps, even ones run into the time limit of 4."""

    num_actions, max_episode_length, device = 1, LIMIT, "cpu"

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.fails = torch.arange(num_envs) % 2 == 1
        self.reset()

    def get_observations(self) -> Any:
        shown = {"policy": self.x[:, None], "privileged": torch.stack((self.v, self.t.float()), -1)}
        return groups_of(shown, self.num_envs)

    def reset(self) -> tuple[Any, dict]:
        self.x, self.v = torch.zeros(2, self.num_envs)
        self.t = torch.zeros(self.num_envs, dtype=torch.long)
        return self.get_observations(), {}

    def step(self, actions: torch.Tensor) -> tuple[Any, torch.Tensor, torch.Tensor, dict]:
        self.v = self.v + 0.1 * actions[:, 0]
        self.x, self.t = self.x + self.v, self.t + 1
        rewards = 1.0 - self.x**2
        time_outs = self.t == LIMIT
        dones = time_outs | (self.fails & (self.t == 3))
        self.x, self.v, self.t = (part.masked_fill(dones, 0) for part in (self.x, self.v, self.t))
        return self.get_observations(), rewards, dones.long(), {"time_outs": time_outs}


def model_of(n_steps: int, num_envs: int = 4) -> FieldPPO:
    envs = RslRlVectorEnv(Cart(num_envs), actor=["policy"], critic=["policy", "privileged"])
    policy = {"visible": envs.visible, "privileged_critic": True, "hidden_size": 3}
    options = {"n_steps": n_steps, "batch_size": n_steps, "n_epochs": 1, "seed": 0, "device": "cpu"}
    return FieldPPO("NeuralFieldPolicy", envs, policy_kwargs=policy, **options)


def collect(model: FieldPPO) -> None:
    _, callback = model._setup_learn(10**6, reset_num_timesteps=False)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)


def test_value_targets_go_on_after_a_time_out_and_stop_where_an_episode_fails() -> None:
    model = model_of(8)
    policy, buffer = model.policy, model.rollout_buffer
    assert (policy.actor.input_size, policy.critic.input_size) == (1, 3)
    collect(model)
    collect(model)
    s = buffer.stored
    assert s["truncated"].nonzero().T.tolist() == [[3, 3, 7, 7], [0, 2, 0, 2]]
    assert s["terminated"].nonzero().T.tolist() == [[0, 0, 3, 3, 6, 6], [1, 3, 1, 3, 1, 3]]
    followed = torch.cat(s["trajectories"], -1)
    expected, ahead = torch.empty(8, 4), torch.zeros(4)
    with torch.no_grad():
        for t in reversed(range(8)):
            # The values of the observations acted on, once more, with the memory after the step.
            once_more = policy.value_net(policy.run(_once(s["features"][t], followed[t]))[1])[0, :, 0]
            to_come = s["values"][t + 1] if t < 7 else s["next_values"][7]
            to_come = torch.where(s["truncated"][t], once_more, to_come)
            to_come = torch.where(s["terminated"][t], 0.0, to_come)
            delta = s["rewards"][t] + model.gamma * to_come - s["values"][t]
            over = s["terminated"][t] | s["truncated"][t]
            ahead = delta + model.gamma * model.gae_lambda * torch.where(over, 0.0, ahead)
            expected[t] = ahead + s["values"][t]
    torch.testing.assert_close(s["targets"], expected)


def _once(features: torch.Tensor, memory: torch.Tensor) -> Any:
    from nf_policies.ppo.buffer import Sequences

    return Sequences(features[None], memory, torch.zeros(1, len(memory), dtype=torch.bool))


def test_no_step_asks_for_a_number_or_moves_to_the_host() -> None:
    names = ("aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::nonzero", "aten::_pin_memory")
    counts = []
    for n_steps in (16, 48):
        model = model_of(n_steps)
        collect(model)  # the first rollout also learns the first statistics
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            collect(model)
        events = {event.key: event.count for event in recorded.key_averages()}
        counts.append({name: events.get(name, 0) for name in names})
    assert counts[0] == counts[1]


def test_training_on_them_learns_and_exports_what_the_actor_sees() -> None:
    model = model_of(32)
    model.learn(512)
    assert model.policy_of().visible == (0,)


def test_groups_that_cannot_be_seen_are_named() -> None:
    with pytest.raises(ValueError, match=r"no group 'state' of observations, but policy, privileged"):
        RslRlVectorEnv(Cart(2), actor=["state"])


def test_episodes_meet_the_time_limit_in_turn() -> None:
    carts = Cart(4)
    envs = RslRlVectorEnv(carts)
    envs.reset()
    assert envs.stagger().tolist() == [False, True, True, True]
    assert carts.episode_length_buf.tolist() == [0, 1, 2, 3]  # as rsl_rl calls what counts the steps of an episode
