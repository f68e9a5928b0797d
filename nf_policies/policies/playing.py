"""A policy in a control loop: its memory, and everything that does not change while an episode runs."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nf_policies.fields.field import Field
from nf_policies.fields.stepper import Stepper

if TYPE_CHECKING:
    from nf_policies.policies.policy import Policy


class Playing:
    """Steps of a policy. A field on the CPU takes them in compiled code, with the parameters that it had at first.

    Args:
        policy: Whose steps.
        potentials: The memory to go on with. Shape: (lanes, memory_size).
    """

    @torch.inference_mode(False)
    @torch.no_grad()
    def __init__(self, policy: "Policy", potentials: Tensor) -> None:
        from nf_policies.policies.policy import Policy

        self.policy, self.potentials = policy, potentials
        self.stepper = None
        if isinstance(policy.field, Field) and type(policy).step is Policy.step and potentials.device.type == "cpu":
            self.stepper = Stepper(policy.field, len(potentials))
            self.normalize = policy.normalizer.in_place(self.stepper.tensors.inputs)
            self.potentials = self.stepper.tensors.potentials.copy_(potentials)

    @torch.no_grad()
    def step(self, features: Tensor, episode_starts: Tensor) -> Tensor:
        """Actions (lanes, *action_space.shape).

        Args:
            features: Encoded observations. Shape: (lanes, input_size).
            episode_starts: True where a lane begins an episode. Shape: (lanes,).
        """
        if self.stepper is None:
            coefficients = self.policy.coefficients()
            actions, trace = self.policy.step(features, self.potentials, episode_starts, coefficients)
            self.potentials = trace.potentials
            return actions
        mine = self.stepper.tensors
        mine.inputs.copy_(features)
        self.normalize()
        mine.episode_starts.copy_(episode_starts)
        self.stepper()
        return self.policy.head(mine.outputs)
