"""Every way to get an environment."""
