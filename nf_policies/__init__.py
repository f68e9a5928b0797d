"""Neural-field policies for reinforcement learning: tiny recurrent networks, evolved or trained, rolled out."""

TYPE_CHECKING = False  # typing takes longer to import than this package

if TYPE_CHECKING:
    from nf_policies.fields import NeuralField, ParameterVector, SimpleNeuralField, load_neuralfields
    from nf_policies.policies import Policy, PolicyFileError, UnsupportedSpaceError, field_sizes

__all__ = [
    "NeuralField",
    "ParameterVector",
    "Policy",
    "PolicyFileError",
    "SimpleNeuralField",
    "UnsupportedSpaceError",
    "field_sizes",
    "load_neuralfields",
]


def __getattr__(name: str) -> object:
    """Import a name when it is first used: the command line's help must not wait for torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    is_of_fields = name in ("NeuralField", "ParameterVector", "SimpleNeuralField", "load_neuralfields")
    return getattr(importlib.import_module("nf_policies.fields" if is_of_fields else "nf_policies.policies"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
