"""A year outside a dataset's years -> the calendar, or the mistake, that it likely comes from."""

from pipeline.params.datasets import Years

_CALENDARS = (
    # years that fall in 1900 to 2068, name, difference to the Gregorian year in which the year begins
    (1279, 1429, "Solar Hijri", 621),
    (2443, 2611, "Buddhist", -543),
    (5660, 5828, "Hebrew", -3760),
    (2069, 2125, "Bikram Sambat", -57),
    (100, 157, "Minguo", 1911),
)
_LUNAR = range(1430, 1495)
_SHARE_OF_SOLAR, _LUNAR_EPOCH = 0.970224, 621.5774
"""Length of a lunar Hijri year in Gregorian years, and the beginning of the first."""


def hint(year: int, years: Years) -> str:
    """Return an explanation of a year outside `years`, for the end of a message; empty where there is none.

    Examples
    --------
    >>> hint(1402, Years(1900, 2068))
    '; the calendar may be Solar Hijri, in which 1402 is 2023'
    >>> hint(24, Years(1900, 2068))
    '; this may be a year of two digits, 2024, read as year 24'
    """
    if 0 <= year < 100:
        return f"; this may be a year of two digits, {year + (2000 if year < 69 else 1900)}, read as year {year}"
    if year == 1899:
        return "; day zero of a spreadsheet, 1899-12-30, often stands for an empty cell"
    for first, last, name, shift in _CALENDARS:
        if first <= year <= last and years.first <= year + shift <= years.last:
            return f"; the calendar may be {name}, in which {year} is {year + shift}"
    gregorian = int(year * _SHARE_OF_SOLAR + _LUNAR_EPOCH)
    if year in _LUNAR and years.first <= gregorian <= years.last:
        return f"; the calendar may be lunar Hijri, in which {year} is {gregorian}"
    return ""
