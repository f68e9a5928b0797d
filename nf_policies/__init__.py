"""nf-policies."""
