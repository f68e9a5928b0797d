"""Learners to compare with."""
