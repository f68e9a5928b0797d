"""From observation to action: normaliser, field and head, in one file."""

from nf_policies.policies.files import PolicyFileError
from nf_policies.policies.kinds import field_sizes
from nf_policies.policies.policy import Policy
from nf_policies.policies.spaces import UnsupportedSpaceError

__all__ = ["Policy", "PolicyFileError", "UnsupportedSpaceError", "field_sizes"]
