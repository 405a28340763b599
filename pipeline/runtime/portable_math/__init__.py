"""Arrays -> exp, log, sin and the like, products and solutions: the same bits on every processor.

IEEE 754 rounds + - * / and square roots alike everywhere, and says nothing of the rest. numpy takes the rest from
Intel's SVML where the processor has AVX-512, and from the C library elsewhere: the last bit differs. Here each step is
one of those five, in a ufunc of its own. So no compiler can fuse a product and a sum into one rounding either.

Arguments of functions may be numbers or arrays; results are float64. None of them warns: a logarithm of 0 is minus
infinity, that of a negative number NaN.

Read in this order: `blocks` (how arrays are walked), `exponential`, `logarithm`, `angles`, `matrices`.
"""

from pipeline.runtime.portable_math.angles import arcsin, arctan2, cos, direction, hypot, sin
from pipeline.runtime.portable_math.exponential import exp, expit, expm1, halved
from pipeline.runtime.portable_math.logarithm import log, log1p, logit
from pipeline.runtime.portable_math.matrices import cholesky, cross_product, solve, solve_lower, weighted_sum

__all__ = [
    "arcsin",
    "arctan2",
    "cholesky",
    "cos",
    "cross_product",
    "direction",
    "exp",
    "expit",
    "expm1",
    "halved",
    "hypot",
    "log",
    "log1p",
    "logit",
    "sin",
    "solve",
    "solve_lower",
    "weighted_sum",
]
