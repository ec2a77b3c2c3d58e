"""The id with which the application invokes a model: the model's own id, or that of an inference profile.

`inference_profiles.json` beside this module holds the regions of each model's profiles.
"""

import functools
import json
from collections.abc import Mapping
from importlib import resources

GLOBAL, REGIONAL, NONE = "global", "regional", "none"
INFERENCE = (GLOBAL, REGIONAL, NONE)
"""The profiles that the application uses: a global before a regional one (its default), regional ones only, none."""


def invoked_id(name: str, model_id: str, region: str, inference: str) -> str:
    """The id that is invoked for a model: with the prefix of a profile, if the region has one.

    Args:
        name: The application's name of the model.
        model_id: Its Bedrock id.
        region: The AWS region that is called.
        inference: One of INFERENCE.
    """
    if inference == NONE:
        return model_id
    profiles = _profiles().get(name, {})
    # A global profile comes before the regional ones.
    prefixes = (prefix for prefix, regions in profiles.items() if region in regions)
    prefix = next((prefix for prefix in prefixes if prefix != GLOBAL or inference == GLOBAL), None)
    return f"{prefix}.{model_id}" if prefix else model_id


@functools.cache
def _profiles() -> Mapping[str, Mapping[str, list[str]]]:
    text = resources.files("catlake.bedrock").joinpath("inference_profiles.json").read_text(encoding="utf-8")
    profiles: Mapping[str, Mapping[str, list[str]]] = json.loads(text)["profiles"]
    return profiles
