"""Fast forms of the recurrence in `nf_policies.fields.sequence`, which is their definition."""
