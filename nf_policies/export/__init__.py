"""A policy as code of its own: one intermediate form, and a printer for each target."""
