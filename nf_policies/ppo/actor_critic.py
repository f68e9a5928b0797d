"""NeuralFieldPolicy: SB3's actor-critic policy with a field between the features and the heads."""

import inspect
import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from nf_policies.policies.kinds import images_of, make_head, single
from nf_policies.policies.policy import Memory, Normalizer
from nf_policies.policies.spaces import each
from nf_policies.ppo.buffer import Evaluated, Sequences, shape_of, some
from nf_policies.ppo.distributions import action_scaling, make_distribution
from nf_policies.ppo.networks import NetworkOptions, make_networks, visible_features
from nf_policies.ppo.vec_env import Features
from nf_policies.ranks import ALONE, Ranks

SDE_OPTIONS = {"full_std": True, "use_expln": False}
SB3_OPTIONS = {"use_sde", "log_std_init", "features_extractor_kwargs", "optimizer_class", "optimizer_kwargs"}
SB3_OPTIONS |= SDE_OPTIONS.keys()


class NeuralFieldPolicy(ActorCriticPolicy):
    """Actor and critic with memory: features, normalised -> fields -> action distribution and value.

    Args:
        observation_space: Of a single environment.
        action_space: Box, Discrete, MultiDiscrete or MultiBinary.
        lr_schedule: Learning rate as a function of the remaining progress.
        squash: How Box actions stay within bounds: "tanh" or "clip".
        normalize_observations: By running statistics of the features, learned while collecting.
        features_extractor_class: SB3's. If it learns, its outputs are not normalised. No policy file can hold it.
        normalize_images: Whether images are divided by 255, which no policy file can hold; by default only in front of
            a `features_extractor_class`.
        options: The networks', see `NetworkOptions`, and SB3's: `log_std_init` (in units of half the actions' range),
            `use_sde`, `full_std`, `use_expln`, `features_extractor_kwargs`, `optimizer_class` and `optimizer_kwargs`.
    Raises: UnsupportedSpaceError or ValueError naming what does not fit.
    """

    actor: Any
    critic: Any
    """A field or cell of its own; None where it reads the actor's outputs."""
    value_net: nn.Module  # type: ignore[assignment]
    actor_entries: Tensor | None
    critic_entries: Tensor | None
    """Which features each of them sees; None for all."""
    ranks: Ranks = ALONE
    """Processes that share the normaliser's statistics."""
    entropy_matters = True
    """Whether the loss has a share of the entropy, whose gradient is otherwise not needed."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        *,
        squash: str = "tanh",
        normalize_observations: bool = True,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        normalize_images: bool | None = None,
        **options: Any,
    ) -> None:
        make_head(action_space, squash)  # refuses what cannot be acted in
        self.squash, self.normalize_observations = squash, normalize_observations
        own = {field.name: options.pop(field.name) for field in fields(NetworkOptions) if field.name in options}
        self.networks = NetworkOptions(**own)
        if unknown := options.keys() - SB3_OPTIONS:
            raise ValueError(f"NeuralFieldPolicy has no option {', '.join(sorted(unknown))}.")
        self.sde_options = {name: options.get(name, default) for name, default in SDE_OPTIONS.items()}
        if normalize_images is None:
            normalize_images = features_extractor_class not in (None, Features)
        if features_extractor_class is None:
            sb3s = CombinedExtractor if isinstance(observation_space, spaces.Dict) else FlattenExtractor
            features_extractor_class = sb3s if normalize_images else Features
        options |= {"features_extractor_class": features_extractor_class, "normalize_images": normalize_images}
        self.acts_in = action_space
        if isinstance(action_space, spaces.MultiBinary):  # SB3 knows flat ones alone
            action_space = spaces.MultiBinary(math.prod(action_space.shape))
        super().__init__(observation_space, action_space, lr_schedule, net_arch=[], ortho_init=False, **options)

    def _build(self, lr_schedule: Schedule) -> None:
        """Make the fields, the heads and the optimiser, in place of SB3's layers."""
        self.action_space = self.acts_in
        # An extractor that learns changes its features' scale by itself, and its inputs must be kept for its gradient.
        self.extractor_learns = bool(list(self.features_extractor.parameters()))
        self.normalizes = self.normalize_observations and not self.extractor_learns
        extractor = self.features_extractor
        images = images_of(extractor.encoder) if isinstance(extractor, Features) else ()
        self.normalizer = Normalizer(self.features_dim, images)
        seen = visible_features(self.observation_space, self.features_dim, self.networks.visible, self.extractor_learns)
        of_critic = torch.arange(self.features_dim) if self.networks.privileged_critic else seen
        for name, entries in (("actor_entries", seen), ("critic_entries", of_critic)):
            self.register_buffer(name, None if len(entries) == self.features_dim else entries, persistent=False)
        self.actor, self.critic, self.action_net, self.value_net, self.columns = make_networks(
            self.networks, (len(seen), len(of_critic)), self.action_space, activations_wanted=self.use_sde
        )
        self.changes = Normalizer(self.features_dim) if getattr(self.actor, "kept", 0) else None
        self.actor_memory = self.actor.start(1).shape[-1]
        self.latent_size = self.actor.output_size if self.columns is None else self.columns[0]

        self.action_dist = make_distribution(self.action_space, self.squash, self.use_sde, self.sde_options)
        if isinstance(self.action_space, spaces.Box):
            of_latents = dict.fromkeys(["latent_dim", *["latent_sde_dim"] * self.use_sde], self.latent_size)
            self.log_std = self.action_dist.proba_distribution_net(**of_latents, log_std_init=self.log_std_init)[1]  # type: ignore[index]
        self.action_scaling = action_scaling(self.action_space, self.squash)
        if self.optimizer_class is torch.optim.Adam:  # many tiny tensors: one call, not hundreds
            self.optimizer_kwargs = {"fused": True, **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    def feel_changes(self, gains: Tensor) -> None:
        """Let fields that feel changes feel those of each normalised feature with these gains (n_features,)."""
        for field, entries in ((self.actor, self.actor_entries), (self.critic, self.critic_entries)):
            if getattr(field, "kept", 0):
                field.change_gain.copy_(gains if entries is None else gains[entries])

    def begin_rollout(self) -> None:
        """Be ready to collect: in training mode no longer, and with gains of changes that follow the statistics."""
        self.set_training_mode(False)
        if self.changes is not None and self.changes.count > 0:
            self.feel_changes(self.normalizer.std / (self.changes.std**2 + self.changes.mean**2).sqrt())

    def encode(self, obs: PyTorchObs) -> PyTorchObs:
        """What a rollout keeps of observations: features (batch, n_features), or all where these are learned."""
        if type(self.features_extractor) is Features:
            return self.features_extractor.forward(obs)
        return obs if self.extractor_learns else self.extract_features(obs)  # type: ignore[return-value]

    def normalize(self, kept: PyTorchObs) -> PyTorchObs:
        """What the fields see of what `encode` returned, for any number of leading dimensions."""
        return self.normalizer(kept) if self.normalizes else kept

    def learn_statistics(self, kept: PyTorchObs) -> None:
        """Let the normaliser's statistics follow what `encode` returned, for any number of leading dimensions."""
        if self.normalizes and isinstance(kept, Tensor):
            for piece in self.ranks.moments(kept.flatten(0, -2)):
                self.normalizer.update(*piece)

    def learn_changes(self, kept: PyTorchObs, starts: Tensor) -> None:
        """Let the gains of the next rollout follow how a rollout's features (n_steps, num_envs, ·) have changed."""
        if self.changes is not None and isinstance(kept, Tensor):
            for piece in self.ranks.moments((kept[1:] - kept[:-1])[~starts[1:]]):
                self.changes.update(*piece)

    def features_of(self, seen: PyTorchObs) -> Any:
        """Features (time, batch, n_features) of what `normalize` returned, (time, batch, ·)."""
        if not self.extractor_learns:
            return seen
        features = self.extract_features(each(lambda o: o.flatten(0, 1), seen))
        return features.unflatten(0, shape_of(seen)[:2])  # type: ignore[union-attr]

    def start(self, batch_size: int) -> Tensor:
        """Initial memory of actor and critic side by side. Shape: (batch_size, memory_size)."""
        return torch.cat([field.start(batch_size) for field in (self.actor, self.critic) if field is not None], dim=-1)

    def memories(self, potentials: Tensor, critic_too: bool, kind: Callable[..., Memory] = Memory) -> list[Memory]:
        """The actor's memory while collecting, from potentials (num_envs, memory_size) on, and the critic's."""
        of_actor, of_critic = potentials.tensor_split([self.actor_memory], dim=-1)
        memories = [kind(self.actor, self.normalizer, of_actor, self.actor_entries)]
        if critic_too and self.critic is not None:
            memories.append(kind(self.critic, self.normalizer, of_critic, self.critic_entries))
        return memories

    def sample(self, latent: Tensor) -> Tensor:
        """Random actions (num_envs, ·) from the actor's latents."""
        if isinstance(self.action_dist, DiagGaussianDistribution):  # SB3 checks and builds for longer than it draws
            mean = self.action_net(latent)
            return torch.addcmul(mean, torch.randn_like(mean), self.log_std.exp())
        return self._get_action_dist_from_latent(latent).get_actions()

    def run_actor(self, obs: Sequences) -> tuple[Tensor, Tensor]:
        """Outputs (time, batch, ·) and potentials (time, batch, ·) of the actor's field over sequences of features."""
        features, potentials, episode_starts = obs
        return self.actor(some(features, self.actor_entries), potentials[..., : self.actor_memory], episode_starts)

    def run(self, obs: Sequences) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Run over sequences of what `normalize` returned, with exact gradients through all of their time steps.

        Returns: Latents of actor and critic, and each field's potentials after every step. Shapes: (time, batch, ·).
        """
        features, potentials, episode_starts = obs = obs._replace(features=self.features_of(obs.features))
        latent_pi, trajectory = self.run_actor(obs)
        if self.critic is None:
            latent_pi, latent_vf = (latent_pi, latent_pi) if self.columns is None else latent_pi.split(self.columns, -1)
            return latent_pi, latent_vf, (trajectory,)
        of_critic = potentials[..., self.actor_memory :]
        latent_vf, followed = self.critic(some(features, self.critic_entries), of_critic, episode_starts)
        return latent_pi, latent_vf, (trajectory, followed)

    def evaluate_rollout(self, obs: Sequences, actions: Tensor) -> Evaluated:
        """A whole rollout of what `normalize` returned, with its actions (n_steps, num_envs, ·)."""
        latent_pi, latent_vf, trajectories = self.run(obs)
        distribution = self._get_action_dist_from_latent(latent_pi.flatten(0, 1))
        flat = actions.flatten(0, 1)
        log_probs = distribution.log_prob(flat.squeeze(-1) if isinstance(self.action_space, spaces.Discrete) else flat)
        values = self.value_net(latent_vf).squeeze(-1)
        return Evaluated(obs.features, trajectories, values, log_probs.unflatten(0, values.shape))

    def evaluate_actions(self, obs: Sequences, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:  # type: ignore[override]
        """Values, log-probabilities and entropies of whole sequences. Shapes: (time * sequences, ·), time-major."""
        latent_pi, latent_vf, _ = self.run(obs)
        distribution = self._get_action_dist_from_latent(latent_pi.flatten(0, 1))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.entropy_matters):
            entropy = distribution.entropy()
        return self.value_net(latent_vf.flatten(0, 1)), distribution.log_prob(actions), entropy

    def one_step(self, kept: PyTorchObs, potentials: Tensor | None = None, starts: Tensor | None = None) -> Sequences:
        """Sequences of one step from what `encode` returned; potentials (batch, memory_size), starts (batch,)."""
        batch = shape_of(kept)[0]
        potentials = self.start(batch) if potentials is None else potentials
        starts = potentials.new_zeros(batch, dtype=torch.bool) if starts is None else starts
        return Sequences(each(lambda o: o.unsqueeze(0), self.normalize(kept)), potentials, starts.unsqueeze(0))

    def values_of(self, kept: PyTorchObs, *memory: Tensor) -> Tensor:
        """Values (batch,) of what `encode` returned; `memory` as for `one_step`."""
        return self.value_net(self.run(self.one_step(kept, *memory))[1])[0, :, 0]

    def predict_values(self, obs: PyTorchObs, *memory: Tensor) -> Tensor:
        """Values (batch, 1) of observations; `memory` as for `one_step`."""
        return self.values_of(self.encode(obs), *memory).unsqueeze(-1)

    def get_distribution(self, obs: PyTorchObs, *memory: Tensor) -> Distribution:
        """The action distribution for observations; `memory` as for `one_step`."""
        return self._get_action_dist_from_latent(self.run(self.one_step(self.encode(obs), *memory))[0][0])

    def forward(  # type: ignore[override]
        self, obs: PyTorchObs, *memory: Tensor, deterministic: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values (batch, 1) and log-probabilities; `memory` as for `one_step`."""
        distribution = self.get_distribution(obs, *memory)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.predict_values(obs, *memory), distribution.log_prob(actions)

    @torch.no_grad()
    def predict(
        self,
        observation: np.ndarray | dict[str, np.ndarray],
        state: tuple[np.ndarray, ...] | None = None,
        episode_start: np.ndarray | None = None,
        deterministic: bool = False,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...] | None]:
        """Actions for the task, and the memory to pass with the next observation.

        Args:
            observation: One observation or a batch of them.
            state: What the previous call returned second; None begins all episodes anew.
            episode_start: Where an episode begins with this observation, a bool or one per environment.
            deterministic: Whether to take the likeliest actions.
        Returns: Actions in the action space, and the actor's potentials as a tuple of one array (batch, ·).
        Raises: ValueError if the batch has another size than the memory, or for what `env.reset()` returned.
        """
        self.set_training_mode(False)
        if isinstance(observation, tuple) and not isinstance(self.observation_space, spaces.Tuple):
            raise ValueError("predict takes an observation, not the (obs, info) pair that Gymnasium's reset returns.")
        obs, batched = self.obs_to_tensor(observation)
        now = self.one_step(self.encode(obs))
        n = now.episode_starts.shape[1]
        if state is not None:
            if len(state[0]) != n:
                raise ValueError(f"The state is of {len(state[0])} environments, the observation of {n}.")
            begins = np.broadcast_to(False if episode_start is None else episode_start, (1, n)).astype(bool)
            potentials, starts = (torch.as_tensor(array, device=self.device) for array in (state[0], begins))
            now = now._replace(potentials=potentials, episode_starts=starts)
        outputs, after = self.run_actor(now._replace(features=self.features_of(now.features)))
        distribution = self._get_action_dist_from_latent(outputs[0, :, : self.latent_size])
        actions = self.action_scaling(distribution.get_actions(deterministic=deterministic))
        array = actions.cpu().numpy().astype(self.action_space.dtype)
        return array if batched else single(array, self.action_space), (after[0].cpu().numpy(),)

    def obs_to_tensor(self, observation: Any) -> tuple[PyTorchObs, bool]:
        """Observations as tensors with a batch axis, and whether they had one."""
        if isinstance(self.features_extractor, Features):
            return self.features_extractor.batch(observation, self.device)
        return super().obs_to_tensor(observation)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        known = vars(self) | super()._get_constructor_parameters() | self.sde_options
        names = {*inspect.signature(NeuralFieldPolicy).parameters, *SB3_OPTIONS} - {"options"}
        return {name: known[name] for name in names} | vars(self.networks)
