"""The ranges of numbers that params.yaml may contain."""

from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Positive = Annotated[float, Gt(0)]
Count = Annotated[int, Ge(1)]
Fraction = Annotated[float, Gt(0), Le(1)]
Share = Annotated[float, Gt(0), Lt(1)]
