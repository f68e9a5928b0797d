"""What a run leaves behind, for every learner: folder, configuration, checkpoints, progress, policies and result."""
