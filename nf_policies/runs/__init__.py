"""What a run leaves behind, for every learner: folder, configuration, checkpoints, progress, policies and result."""

from nf_policies.runs.directory import RunError, new_run_directory

__all__ = ["RunError", "new_run_directory"]
