"""Names that hide who a person is and stay the same from page to page, by a keyed hash."""

import hashlib
import hmac
import os
from collections.abc import Callable, Mapping

from catlake.runtime.errors import ArgumentError

KEY = "CUSTOMER_PSEUDONYM_KEY"
"""The environment variable that has the key. Glue hands on only names that begin so (`--customer-driver-env-vars`)."""

LEAST_CHARACTERS = 16
"""The shortest key. A shorter one can be guessed, and then shows whose pseudonym is whose."""

Pseudonym = Callable[[str], str]


def pseudonyms(variables: Mapping[str, str] = os.environ) -> Pseudonym:
    """The function from a person's id to a pseudonym.

    Raises:
        ArgumentError: The variable with the key is missing, or the key is too short.
    """
    key = variables.get(KEY, "")
    if len(key) < LEAST_CHARACTERS:
        raise ArgumentError(
            f"--anonymous true: the environment variable {KEY} has {len(key)} characters; give it a secret of at least "
            f"{LEAST_CHARACTERS}, and keep it: with another one the same person has another pseudonym"
        )
    return lambda id: hmac.new(key.encode(), id.encode(), hashlib.sha256).hexdigest()[:10]
