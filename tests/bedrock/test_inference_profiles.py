"""The id by which a model is invoked, by region and by the profiles that the application uses."""

import pytest

from catlake.bedrock.inference_profiles import invoked_id

IDS = {
    "claude-v4.5-sonnet": "anthropic.claude-sonnet-4-5-20250929-v1:0",
    "claude-v4.1-opus": "anthropic.claude-opus-4-1-20250805-v1:0",
    "amazon-nova-lite": "amazon.nova-lite-v1:0",
    "unheard-of": "maker.unheard-of",
}


@pytest.mark.parametrize(
    ("model", "region", "inference", "prefix"),
    [
        ("claude-v4.5-sonnet", "us-east-1", "global", "global."),
        ("claude-v4.5-sonnet", "us-east-1", "regional", "us."),
        ("claude-v4.5-sonnet", "us-east-1", "none", ""),
        ("claude-v4.5-sonnet", "eu-west-1", "regional", "eu."),
        ("claude-v4.5-sonnet", "ap-northeast-1", "regional", "jp."),
        ("claude-v4.5-sonnet", "sa-east-1", "global", "global."),
        ("claude-v4.5-sonnet", "sa-east-1", "regional", ""),
        ("claude-v4.1-opus", "us-west-2", "global", "us."),
        ("claude-v4.1-opus", "eu-west-1", "global", ""),
        ("amazon-nova-lite", "us-east-1", "global", ""),
        ("amazon-nova-lite", "eu-central-1", "global", "eu."),
        ("unheard-of", "us-east-1", "global", ""),
    ],
)
def test_a_global_profile_goes_before_a_regional_one_and_that_before_the_model(
    model: str, region: str, inference: str, prefix: str
) -> None:
    assert invoked_id(model, IDS[model], region, inference) == prefix + IDS[model]
