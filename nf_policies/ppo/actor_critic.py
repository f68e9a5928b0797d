"""NeuralFieldPolicy: SB3's actor-critic policy with a field between the features and the heads."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.preprocessing import get_flattened_obs_dim
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from torch import Tensor, nn

from nf_policies.policies.policy import Normalizer
from nf_policies.policies.spaces import make_head
from nf_policies.ppo.buffer import Judged, Sequences
from nf_policies.ppo.distributions import action_scaling, make_distribution
from nf_policies.ppo.networks import CRITICS, Prepared, RecurrentExtractor, make_networks


def visible_features(
    space: spaces.Space[Any], n_features: int, visible: Sequence[int] | Sequence[str] | None, extractor_learns: bool
) -> Tensor:
    """Indices of the features that the actor sees.

    Args:
        space: The observation space.
        n_features: Number of features of an observation.
        visible: Indices of features or keys of a Dict space; None for everything.
        extractor_learns: Whether the features are learned, and so do not belong to entries of the observation.
    Returns: Shape: (n,), integer.
    Raises: ValueError if there is no such feature or key.
    """
    if visible is None:
        return torch.arange(n_features)
    if extractor_learns:
        raise ValueError("visible selects entries of the observation, and a features extractor that learns mixes them.")
    if isinstance(space, spaces.Dict) and any(isinstance(entry, str) for entry in visible):
        ranges, begin = {}, 0
        for key, subspace in space.spaces.items():
            end = begin + get_flattened_obs_dim(subspace)
            ranges[key], begin = range(begin, end), end
        unknown = [key for key in visible if key not in ranges]
        if unknown or not visible:
            raise ValueError(f"visible must name keys of {list(ranges)}, not {list(visible)}.")
        return torch.tensor([i for key in ranges if key in visible for i in ranges[key]])
    wrong = [i for i in visible if not (isinstance(i, int) and 0 <= i < n_features)]
    if wrong or len(set(visible)) != len(visible) or not visible:
        raise ValueError(
            f"visible must list different indices of the {n_features} observation entries, not {list(visible)}."
        )
    return torch.tensor(sorted(visible))


class NeuralFieldPolicy(ActorCriticPolicy):
    """Actor and critic with memory: features, normalised -> fields -> action distribution and value.

    Args:
        observation_space: Of a single environment.
        action_space: Box, Discrete, MultiDiscrete or MultiBinary.
        lr_schedule: Learning rate as a function of the remaining progress.
        field: "neural", "simple", "gru", "lstm", "memoryless", or a class with a field's interface.
        hidden_size: Neurons of the actor's field.
        field_kwargs: Further arguments of the field. Neural fields start here with tanh neurons, exponential Euler
            steps and one time constant per neuron, log-spaced from 1.15 to 3.5 steps.
        critic: "separate" (a field of its own), "shared" (reads the actor's field; the fastest) or "memoryless" (two
            layers of tanh units).
        critic_hidden_size: Neurons of the critic's field or units per layer; by default as the actor's, 64 if
            memoryless.
        privileged_critic: Whether the critic sees all entries and not only those `visible`.
        visible: What the actor sees: indices of the features, or keys of a Dict space; None for everything.
        squash: How Box actions stay within bounds: "tanh" or "clip".
        normalize_observations: Whether the policy keeps running statistics of the features. They are learned while
            collecting and frozen everywhere else.
        log_std_init: First log standard deviation of Box actions, in units of half their range.
        use_sde: Whether the noise of Box actions depends on the activations (gSDE).
        full_std: For gSDE, one standard deviation per activation and action.
        use_expln: For gSDE, a standard deviation that grows slower than the exponential.
        features_extractor_class: SB3's; what it learns comes before the field, and nothing is then normalised.
        features_extractor_kwargs: Its arguments.
        normalize_images: Whether images are divided by 255.
        optimizer_class: Adam unless told otherwise.
        optimizer_kwargs: Its arguments.
    Raises: UnsupportedSpaceError or ValueError naming what does not fit.
    """

    mlp_extractor: RecurrentExtractor  # type: ignore[assignment]
    features_extractor: BaseFeaturesExtractor
    action_net: nn.Sequential
    value_net: nn.Module  # type: ignore[assignment]
    action_scaling: nn.Module
    extractor_learns: bool
    sees_features: bool
    """Whether observations are features as they are: vectors, and no extractor of the user's own."""
    squash: str
    entropy_matters = True
    """Whether the loss has a share of the entropy, whose gradient is otherwise not needed."""

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        lr_schedule: Schedule,
        field: str | type[nn.Module] = "neural",
        hidden_size: int = 16,
        field_kwargs: dict[str, Any] | None = None,
        critic: str = "separate",
        critic_hidden_size: int | None = None,
        privileged_critic: bool = False,
        visible: Sequence[int] | Sequence[str] | None = None,
        squash: str = "tanh",
        normalize_observations: bool = True,
        log_std_init: float = 0.0,
        use_sde: bool = False,
        full_std: bool = True,
        use_expln: bool = False,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        features_extractor_kwargs: dict[str, Any] | None = None,
        normalize_images: bool = True,
        optimizer_class: type[torch.optim.Optimizer] = torch.optim.Adam,
        optimizer_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if critic not in CRITICS:
            raise ValueError(f"Unknown critic {critic!r}: choose {', '.join(CRITICS)}.")
        if critic == "shared" and privileged_critic:
            raise ValueError("A shared critic reads the actor's field, so it cannot be privileged.")
        make_head(action_space, squash)  # refuses what cannot be acted in
        self._field, self._hidden_size, self._field_kwargs = field, hidden_size, dict(field_kwargs or {})
        self._critic, self._critic_hidden_size = critic, critic_hidden_size
        self._privileged_critic, self._visible, self.squash = privileged_critic, visible, squash
        self._normalize_observations = normalize_observations
        self._sde_options = {"full_std": full_std, "use_expln": use_expln}
        if features_extractor_class is None:
            is_dict = isinstance(observation_space, spaces.Dict)
            features_extractor_class = CombinedExtractor if is_dict else FlattenExtractor
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=[],
            ortho_init=False,
            use_sde=use_sde,
            log_std_init=log_std_init,
            full_std=full_std,
            use_expln=use_expln,
            features_extractor_class=features_extractor_class,
            features_extractor_kwargs=features_extractor_kwargs,
            normalize_images=normalize_images,
            optimizer_class=optimizer_class,
            optimizer_kwargs=optimizer_kwargs,
        )

    def _build(self, lr_schedule: Schedule) -> None:
        """Make the fields, the heads and the optimiser, in place of SB3's layers."""
        # An extractor that learns changes its features' scale by itself, and its inputs must be kept for its gradient.
        self.extractor_learns = bool(list(self.features_extractor.parameters()))
        self.sees_features = (
            isinstance(self.observation_space, spaces.Box)
            and len(self.observation_space.shape) == 1
            and type(self.features_extractor) is FlattenExtractor
            and type(self).extract_features is ActorCriticPolicy.extract_features
        )
        seen = visible_features(self.observation_space, self.features_dim, self._visible, self.extractor_learns)
        everything = torch.arange(self.features_dim)
        critic_sees = everything if self._privileged_critic else seen
        self.normalizer = Normalizer(self.features_dim)

        networks = make_networks(
            self._field,
            self._field_kwargs,
            self._hidden_size,
            self._critic,
            self._critic_hidden_size,
            seen,
            critic_sees,
            self.action_space,
            activations_wanted=self.use_sde,
        )
        self.mlp_extractor, self.action_net, self.value_net = networks
        actor = self.mlp_extractor.actor

        self.action_dist = make_distribution(self.action_space, self.squash, self.use_sde, self._sde_options)
        if isinstance(self.action_space, spaces.Box):
            latent = int(actor.output_size)
            sde = {"latent_sde_dim": latent} if self.use_sde else {}
            parts: Any = self.action_dist.proba_distribution_net(
                latent_dim=latent, log_std_init=self.log_std_init, **sde
            )
            self.log_std = parts[1]
        self.action_scaling = action_scaling(self.action_space, self.squash)
        if self.optimizer_class is torch.optim.Adam:
            # Many tiny tensors: one call, not hundreds.
            self.optimizer_kwargs = {"fused": True, **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)  # type: ignore[call-arg]

    @property
    def readout(self) -> nn.Linear:
        """From the actor's activations to the parameters of the action distribution; a policy file has it.

        A copy where the critic reads out by the same layer.
        """
        own: Any = self.mlp_extractor.actor.output_embedding
        if len(self.action_net) and isinstance(self.action_net[0], nn.Linear):
            return self.action_net[0]
        if self.mlp_extractor.columns is None:
            return own
        n = self.mlp_extractor.columns[0]
        part = nn.Linear(own.in_features, n, bias=False, device="meta")  # draws no start weights
        part.weight = nn.Parameter(own.weight[:n].detach().clone())
        return part

    def encode(self, obs: PyTorchObs) -> PyTorchObs:
        """What of an observation is kept in a rollout: its features, as they are.

        Where the features extractor learns, its inputs are kept.

        Args:
            obs: Batch of observations, tensors.
        Returns: Shape: (batch, n_features).
        """
        if self.extractor_learns:
            return obs
        if self.sees_features:
            return obs.float()  # type: ignore[union-attr]  # which is what the rest would come to
        features = self.extract_features(obs)
        assert isinstance(features, Tensor)
        return features

    def normalize(self, encoded: PyTorchObs) -> PyTorchObs:
        """What the fields see of what `encode` returned, for any number of leading dimensions."""
        return self.normalizer(encoded) if self.normalizes else encoded

    @property
    def normalizes(self) -> bool:
        """Whether the features are normalised here."""
        return self._normalize_observations and not self.extractor_learns

    def learn_statistics(self, encoded: PyTorchObs) -> None:
        """Let the normaliser's statistics follow a rollout of what `encode` returned."""
        if self.normalizes and isinstance(encoded, Tensor):
            rows = encoded.flatten(0, -2)
            var, mean = torch.var_mean(rows, dim=0, correction=0)
            self.normalizer.update(len(rows), mean, var)

    def observe(self, obs: PyTorchObs) -> PyTorchObs:
        """What the fields see of a batch of observations, tensors."""
        return self.normalize(self.encode(obs))

    def features_of(self, features: PyTorchObs) -> Tensor:
        """Features of what `observe` returned, for any number of leading dimensions."""
        if not self.extractor_learns:
            assert isinstance(features, Tensor)
            return features
        if isinstance(features, dict):
            some_key = next(iter(features))
            lead = features[some_key].shape[: -len(self.observation_space[some_key].shape) or None]  # type: ignore[index]
            flat: PyTorchObs = {key: o.flatten(0, len(lead) - 1) for key, o in features.items()}
        else:
            lead = features.shape[: features.dim() - len(self.observation_space.shape or ())]
            flat = features.flatten(0, len(lead) - 1)
        features = self.extract_features(flat)
        assert isinstance(features, Tensor)
        return features.unflatten(0, lead)

    def remember(
        self, encoded: PyTorchObs, potentials: Tensor, episode_starts: Tensor, prepared: Prepared, start: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step of a rollout: the actor's latents, and the memory after it.

        Args:
            encoded: From `encode`. Shape: (num_envs, ·).
            potentials: Before the step, of the actor or of both actor and critic. Shape: (num_envs, ·).
            episode_starts: Shape: (num_envs,).
            prepared: From `mlp_extractor.prepare`.
            start: Initial potentials. Shape: as the potentials.
        Returns: Latents (num_envs, ·) and the next potentials, of the actor or of both as given.
        """
        before = torch.where(episode_starts.unsqueeze(-1), start, potentials)
        features = self.features_of(self.normalize(encoded))
        if before.shape[-1] == self.mlp_extractor.actor_memory:
            return self.mlp_extractor.step_actor(features, before, prepared)
        latent, _, after = self.mlp_extractor.step(features, before, prepared)
        return latent, after

    def sample(self, latent: Tensor) -> Tensor:
        """Random actions (num_envs, ·) from the actor's latents."""
        if isinstance(self.action_dist, DiagGaussianDistribution):  # SB3 checks and builds for longer than it draws
            mean = self.action_net(latent)
            return torch.addcmul(mean, torch.randn_like(mean), self.log_std.exp())
        return self._get_action_dist_from_latent(latent).get_actions()

    def judge(self, obs: Sequences, actions: Tensor) -> Judged:
        """A whole rollout as the parameters see it: values, log-probabilities and potentials.

        Args:
            obs: What `normalize` returned, over all steps.
            actions: Shape: (n_steps, num_envs, ·).
        """
        latent_pi, latent_vf, trajectories = self.mlp_extractor(
            self.features_of(obs.features), obs.potentials, obs.episode_starts
        )
        distribution = self._get_action_dist_from_latent(latent_pi.flatten(0, 1))
        flat = actions.flatten(0, 1)
        log_probs = distribution.log_prob(flat.squeeze(-1) if isinstance(self.action_space, spaces.Discrete) else flat)
        values = self.value_net(latent_vf).squeeze(-1)
        return Judged(obs.features, trajectories, values, log_probs.unflatten(0, values.shape))

    def values_of(self, encoded: PyTorchObs, potentials: Tensor) -> Tensor:
        """Values (batch,) of what `encode` returned, with the memory (batch, memory_size) before it."""
        features = self.features_of(self.normalize(encoded))
        _, latent_vf, _ = self.mlp_extractor.step(features, potentials, self.mlp_extractor.prepare())
        return self.value_net(latent_vf).squeeze(-1)

    def evaluate_actions(self, obs: Sequences, actions: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:  # type: ignore[override]
        """Values, log-probabilities and entropies of whole sequences, flattened time-major.

        Args:
            obs: Sequences with their memory.
            actions: Shape: (time * sequences, ·).
        """
        latent_pi, latent_vf, _ = self.mlp_extractor(self.features_of(obs.features), obs.potentials, obs.episode_starts)
        distribution = self._get_action_dist_from_latent(latent_pi.flatten(0, 1))
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.entropy_matters):
            entropy = distribution.entropy()
        return self.value_net(latent_vf.flatten(0, 1)), distribution.log_prob(actions), entropy

    def trajectories(self, obs: Sequences) -> tuple[Tensor, ...]:
        """Potentials after every step of the sequences, of each field. Shape: (time, sequences, ·)."""
        return self.mlp_extractor(self.features_of(obs.features), obs.potentials, obs.episode_starts)[2]

    def forward(  # type: ignore[override]
        self,
        obs: PyTorchObs,
        potentials: Tensor | None = None,
        episode_starts: Tensor | None = None,
        deterministic: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions, values and log-probabilities of a batch of observations, each the first of its episode by default.

        Args:
            obs: Tensors of shape (batch, ·).
            potentials: Shape: (batch, memory_size).
            episode_starts: Shape: (batch,).
            deterministic: Whether to take the most likely actions.
        """
        latent_pi, latent_vf, _ = self._latents(obs, potentials, episode_starts)
        distribution = self._get_action_dist_from_latent(latent_pi)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, self.value_net(latent_vf), distribution.log_prob(actions)

    def get_distribution(
        self, obs: PyTorchObs, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> Distribution:
        """The action distribution. Arguments as `forward`."""
        return self._get_action_dist_from_latent(self._latents(obs, potentials, episode_starts)[0])

    def predict_values(
        self, obs: PyTorchObs, potentials: Tensor | None = None, episode_starts: Tensor | None = None
    ) -> Tensor:
        """Values (batch, 1). Arguments as `forward`."""
        return self.value_net(self._latents(obs, potentials, episode_starts)[1])

    def _latents(
        self, obs: PyTorchObs, potentials: Tensor | None, episode_starts: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        features = self.features_of(self.observe(obs))
        start = self.mlp_extractor.start(len(features))
        if potentials is None:
            potentials = start
        elif episode_starts is not None:
            potentials = torch.where(episode_starts.unsqueeze(-1), start, potentials)
        return self.mlp_extractor.step(features, potentials, self.mlp_extractor.prepare())

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
            state: The second thing returned by the previous call; None begins all episodes anew.
            episode_start: Where a new episode begins with this observation, a bool or one per environment.
            deterministic: Whether to take the most likely actions.
        Returns: Actions in the action space, and the actor's potentials as a tuple of one array (batch, ·).
        Raises: ValueError if the batch has another size than the memory, or for what `env.reset()` returned.
        """
        self.set_training_mode(False)
        if isinstance(observation, tuple):
            raise ValueError("predict takes an observation, not the (obs, info) pair that Gymnasium's reset returns.")
        obs, batched = self.obs_to_tensor(observation)
        features = self.features_of(self.observe(obs))
        extractor = self.mlp_extractor
        start = extractor.split(extractor.start(len(features)))[0]
        potentials = start
        if state is not None:
            if len(state[0]) != len(features):
                raise ValueError(f"The state is of {len(state[0])} environments, the observation of {len(features)}.")
            potentials = torch.as_tensor(state[0], device=self.device)
            if episode_start is not None:
                begins = torch.as_tensor(np.broadcast_to(episode_start, (len(features),)).astype(bool).copy())
                potentials = torch.where(begins.to(self.device).unsqueeze(-1), start, potentials)
        latent, after = extractor.step_actor(features, potentials, extractor.prepare())
        actions = self._get_action_dist_from_latent(latent).get_actions(deterministic=deterministic)
        array = self.action_scaling(actions).cpu().numpy().astype(self.action_space.dtype)
        return array if batched else array[0], (after.cpu().numpy(),)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        for name in ("net_arch", "activation_fn", "ortho_init", "squash_output", "full_std", "use_expln"):
            data.pop(name)
        return (
            data
            | self._sde_options
            | {
                "field": self._field,
                "hidden_size": self._hidden_size,
                "field_kwargs": self._field_kwargs,
                "critic": self._critic,
                "critic_hidden_size": self._critic_hidden_size,
                "privileged_critic": self._privileged_critic,
                "visible": self._visible,
                "squash": self.squash,
                "normalize_observations": self._normalize_observations,
            }
        )
