"""What torch's operations on tensors are in JavaScript's operations on numbers.

Names are those of torch's core operations. `{0}`, `{1}`, … are operands: names, literals or entries of an array.
"""

FORMULAS = {
    "add": "{0} + {1}",
    "sub": "{0} - {1}",
    "rsub": "{1} - {0}",
    "mul": "{0} * {1}",
    "div": "{0} / {1}",
    "neg": "-({0})",
    "reciprocal": "1 / {0}",
    "remainder": "remainder({0}, {1})",
    "pow": "pow({0}, {1})",
    "sin": "sin({0})",
    "cos": "cos({0})",
    "tan": "tan({0})",
    "asin": "asin({0})",
    "acos": "acos({0})",
    "atan": "atan({0})",
    "atan2": "atan2({0}, {1})",
    "sinh": "sinh({0})",
    "cosh": "cosh({0})",
    "tanh": "tanh({0})",
    "exp": "exp({0})",
    "expm1": "expm1({0})",
    "log": "log({0})",
    "log1p": "log1p({0})",
    "sqrt": "sqrt({0})",
    "rsqrt": "1 / sqrt({0})",
    "abs": "abs({0})",
    "sign": "sign({0})",
    "sgn": "sign({0})",
    "floor": "floor({0})",
    "ceil": "ceil({0})",
    "trunc": "trunc({0})",
    "minimum": "min({0}, {1})",
    "maximum": "max({0}, {1})",
    "clamp_min": "max({0}, {1})",
    "clamp_max": "min({0}, {1})",
    "clamp": "min(max({0}, {1}), {2})",
    "sigmoid": "1 / (1 + exp(-({0})))",
    "relu": "max({0}, 0)",
    "eq": "{0} === {1}",
    "ne": "{0} !== {1}",
    "lt": "{0} < {1}",
    "le": "{0} <= {1}",
    "gt": "{0} > {1}",
    "ge": "{0} >= {1}",
    "logical_and": "{0} && {1}",
    "logical_or": "{0} || {1}",
    "logical_not": "!{0}",
    "logical_xor": "{0} !== {1}",
    "bitwise_and": "{0} && {1}",
    "bitwise_or": "{0} || {1}",
    "bitwise_not": "!{0}",
    "where": "{0} ? {1} : {2}",
}
"""Entry by entry; the bitwise ones are of truth values."""

POWERS = {0.5: "sqrt({0})", 1: "{0}", 2: "{0} * {0}", 3: "{0} * {0} * {0}", -1: "1 / {0}", -2: "1 / ({0} * {0})"}
"""The exponents that torch computes by other means than `pow`."""

MOVES = frozenset(
    [
        "view",
        "_unsafe_view",
        "reshape",
        "expand",
        "unsqueeze",
        "squeeze",
        "select",
        "slice",
        "permute",
        "t",
        "transpose",
        "stack",
        "cat",
        "split",
        "split_with_sizes",
        "unbind",
        "clone",
        "detach",
        "alias",
        "lift_fresh_copy",
        "lift_fresh",
        "constant_pad_nd",
        "flip",
        "diagonal",
        "repeat",
        "unfold",
    ]
)
"""Operations that move entries and compute nothing."""

MAKES = frozenset(
    [
        "full",
        "full_like",
        "zeros",
        "zeros_like",
        "ones",
        "ones_like",
        "new_zeros",
        "new_ones",
        "new_full",
        "empty_like",
        "arange",
        "scalar_tensor",
    ]
)
"""Operations whose result does not depend on any entry."""

PRELUDE = """\
const {abs, acos, asin, atan, atan2, ceil, cos, cosh, exp, expm1, floor, fround, log, log1p, max, min, pow, sign, sin,
  sinh, sqrt, tan, tanh, trunc} = Math;
function remainder(x, y) {  // with the sign of y, as Python has it
  const rest = x % y;
  return rest !== 0 && (y < 0) !== (rest < 0) ? rest + y : rest;
}
"""
"""What the formulas use."""
