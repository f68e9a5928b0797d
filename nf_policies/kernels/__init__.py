"""Compiled steps of a `Problem`; they know no field."""
