"""Run, record, film and plot a policy."""

from nf_policies.rollouts.film import film
from nf_policies.rollouts.plot import plot_recording
from nf_policies.rollouts.record import Recorder, save_recording
from nf_policies.rollouts.score import Score, rollout

__all__ = ["Recorder", "Score", "film", "plot_recording", "rollout", "save_recording"]
