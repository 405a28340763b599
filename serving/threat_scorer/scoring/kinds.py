"""A model's name -> what kind of model it is: several horizons of area risk are models of one kind."""

import re

_HORIZON = re.compile(r"_[1-9]\d*d$")


def kind_of(model: str) -> str:
    """Return a model's name without its horizon.

    Examples
    --------
    >>> kind_of("area_risk_28d"), kind_of("sensor_threat")
    ('area_risk', 'sensor_threat')
    """
    return _HORIZON.sub("", model)
