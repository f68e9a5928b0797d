"""A recurrent PPO in JAX to compare with: gymnax's cart-pole, a GRU for actor and critic, one jitted function.

The algorithm of PureJaxRL's ppo_rnn (Lu et al. 2022), written anew: collect, generalised advantages, epochs of
minibatches of whole environments, clipped losses, Adam with a clipped gradient.
"""

from collections.abc import Callable
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import optax

GAMMA, GAE_LAMBDA, CLIP, VF_COEF, ENT_COEF, MAX_GRAD_NORM, LEARNING_RATE = 0.99, 0.95, 0.2, 0.5, 0.01, 0.5, 2.5e-4


def dense(key: Any, fan_in: int, fan_out: int, gain: float = 1.0) -> dict[str, Any]:
    return {"w": jax.nn.initializers.orthogonal(gain)(key, (fan_in, fan_out)), "b": jnp.zeros(fan_out)}


def new_parameters(key: Any, obs_size: int, hidden: int, n_actions: int) -> dict[str, Any]:
    keys = jax.random.split(key, 5)
    return {
        "embed": dense(keys[0], obs_size, hidden, 2**0.5),
        "inputs": dense(keys[1], hidden, 3 * hidden),
        "memory": dense(keys[2], hidden, 3 * hidden),
        "policy": dense(keys[3], hidden, n_actions, 0.01),
        "value": dense(keys[4], hidden, 1),
    }


def apply(p: dict[str, Any], x: Any) -> Any:
    return x @ p["w"] + p["b"]


def gru(p: dict[str, Any], memory: Any, external: Any, starts: Any) -> Any:
    """One step; memory is zero where an episode starts."""
    memory = jnp.where(starts[:, None], 0.0, memory)
    r, z, n = jnp.split(external, 3, -1)
    r_h, z_h, n_h = jnp.split(apply(p["memory"], memory), 3, -1)
    update = jax.nn.sigmoid(z + z_h)
    new = jnp.tanh(n + jax.nn.sigmoid(r + r_h) * n_h)
    return (1 - update) * new + update * memory


def unroll(p: dict[str, Any], memory: Any, obs: Any, starts: Any) -> tuple[Any, Any, Any]:
    """Logits and values of a sequence (time, batch, ·), and the memory after it."""
    external = apply(p["inputs"], jax.nn.relu(apply(p["embed"], obs)))

    def step(memory: Any, x: Any) -> tuple[Any, Any]:
        memory = gru(p, memory, *x)
        return memory, memory

    memory, trajectory = jax.lax.scan(step, memory, (external, starts))
    return apply(p["policy"], trajectory), apply(p["value"], trajectory)[..., 0], memory


def log_prob(logits: Any, actions: Any) -> Any:
    return jnp.take_along_axis(jax.nn.log_softmax(logits), actions[..., None], -1)[..., 0]


def make_round(num_envs: int, n_steps: int, n_epochs: int, n_minibatches: int, hidden_size: int) -> Callable[[], None]:
    """A function that collects one rollout and learns from it, and waits until that is done."""
    env, params = gymnax.make("CartPole-v1")
    optimiser = optax.chain(optax.clip_by_global_norm(MAX_GRAD_NORM), optax.adam(LEARNING_RATE, eps=1e-5))

    def collect(carry: Any, _: Any) -> tuple[Any, Any]:
        p, key, state, obs, starts, memory = carry
        key, act_key, step_key = jax.random.split(key, 3)
        logits, values, memory = unroll(p, memory, obs[None], starts[None])
        actions = jax.random.categorical(act_key, logits[0])
        next_obs, state, rewards, terminated, truncated, _ = jax.vmap(env.step, (0, 0, 0, None))(
            jax.random.split(step_key, num_envs), state, actions, params
        )
        dones = jnp.logical_or(terminated, truncated)
        kept = (obs, starts, actions, log_prob(logits[0], actions), values[0], rewards, dones)
        return (p, key, state, next_obs, dones, memory), kept

    def loss(p: Any, batch: Any) -> Any:
        memory, obs, starts, actions, old, old_values, advantages, targets = batch
        logits, values, _ = unroll(p, memory, obs, starts)
        ratio = jnp.exp(log_prob(logits, actions) - old)
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        clipped = jnp.clip(ratio, 1 - CLIP, 1 + CLIP)
        of_policy = -jnp.minimum(ratio * advantages, clipped * advantages).mean()
        near = old_values + jnp.clip(values - old_values, -CLIP, CLIP)
        of_value = 0.5 * jnp.maximum((values - targets) ** 2, (near - targets) ** 2).mean()
        entropy = -(jax.nn.softmax(logits) * jax.nn.log_softmax(logits)).sum(-1).mean()
        return of_policy + VF_COEF * of_value - ENT_COEF * entropy

    def one_round(carry: Any) -> Any:
        p, opt_state, key, state, obs, starts, memory = carry
        first_memory = memory
        (_, key, state, obs, starts, memory), rollout = jax.lax.scan(
            collect, (p, key, state, obs, starts, memory), None, n_steps
        )
        kept_obs, kept_starts, actions, old, values, rewards, dones = rollout
        _, last_value, _ = unroll(p, memory, obs[None], starts[None])

        def back(ahead: Any, x: Any) -> tuple[Any, Any]:
            advantage, next_value = ahead
            value, reward, done = x
            delta = reward + GAMMA * next_value * (1 - done) - value
            advantage = delta + GAMMA * GAE_LAMBDA * (1 - done) * advantage
            return (advantage, value), advantage

        begin = (jnp.zeros(num_envs), last_value[0])
        _, advantages = jax.lax.scan(back, begin, (values, rewards, dones), reverse=True)
        data = (kept_obs, kept_starts, actions, old, values, advantages, advantages + values)

        def minibatch(train: Any, chosen: Any) -> tuple[Any, None]:
            p, opt_state = train
            batch = (first_memory[chosen], *(x[:, chosen] for x in data))
            changes, opt_state = optimiser.update(jax.grad(loss)(p, batch), opt_state)
            return (optax.apply_updates(p, changes), opt_state), None

        def epoch(train: Any, key: Any) -> tuple[Any, None]:
            order = jax.random.permutation(key, num_envs).reshape(n_minibatches, -1)
            return jax.lax.scan(minibatch, train, order)[0], None

        key, epoch_key = jax.random.split(key)
        (p, opt_state), _ = jax.lax.scan(epoch, (p, opt_state), jax.random.split(epoch_key, n_epochs))
        return p, opt_state, key, state, obs, starts, memory

    key, parameter_key, reset_key = jax.random.split(jax.random.key(0), 3)
    obs, state = jax.vmap(env.reset, (0, None))(jax.random.split(reset_key, num_envs), params)
    p = new_parameters(parameter_key, obs.shape[-1], hidden_size, env.num_actions)
    starts, memory = jnp.ones(num_envs, bool), jnp.zeros((num_envs, hidden_size))
    carry = [(p, optimiser.init(p), key, state, obs, starts, memory)]
    jitted = jax.jit(one_round)

    def play_and_learn() -> None:
        carry[0] = jax.block_until_ready(jitted(carry[0]))

    return play_and_learn
