"""Batched control tasks for neural-field policies.

The package's home in the wheel is fixed; its first tasks arrive with the batched-tasks issue. Until then the
commands take any Gymnasium id.
"""
