"""Search for a learner's settings: many short runs, the poor ones stopped early. Optuna proposes."""
