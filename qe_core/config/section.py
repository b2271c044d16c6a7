"""What sections of the settings are made of.

What belongs here: the base of all sections and the types of their fields. What does not: any setting.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
PositiveFraction = Annotated[float, Field(gt=0.0, le=1.0)]
PositiveFloat = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]

_CRON_FIELD = r"(\*|\d+(-\d+)?)(/\d+)?(,(\*|\d+(-\d+)?)(/\d+)?)*"
_CRON = re.compile(rf"^{_CRON_FIELD}( {_CRON_FIELD}){{4}}$")


def _cron(expression: str) -> str:
    if not _CRON.match(expression):
        raise ValueError('must be five cron fields, for example "0 * * * *" for every hour')
    return expression


Cron = Annotated[str, AfterValidator(_cron)]


class Section(BaseModel):
    """One section: immutable, and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)
