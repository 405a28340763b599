"""The table ``[position]`` of scorer.toml: where the device stands."""

from dataclasses import dataclass

from threat_scorer.parsing.typed_fields import limited


@dataclass(frozen=True)
class Position:
    """The table ``[position]``: where a device stands that does not move, for records without a position."""

    latitude_deg: float = limited(-90, 90)
    longitude_deg: float = limited(-180, 180)
    error_m: float = limited(0, 1e6, 0.0)
