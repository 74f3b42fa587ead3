"""What Bedrock calls the models that a stack may ask."""

from infra.components.common import Common
from infra.settings import ModelSettings

#: How the names of profiles begin that spread calls over regions.
SPREAD = ("us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global.")


def model_arns(model: ModelSettings | None, common: Common) -> tuple[str, ...]:
    """None where a model has a URL; a profile that spreads calls needs the model in each of its regions, too."""
    if model is None or model.kind != "bedrock":
        return ()
    is_arn, profile = model.id.startswith("arn:"), model.id.rpartition(":inference-profile/")[2]
    if profile.startswith(SPREAD):
        return (
            model.id if is_arn else f"arn:aws:bedrock:{common.region}:{common.account}:inference-profile/{model.id}",
            f"arn:aws:bedrock:*::foundation-model/{profile.partition('.')[2]}",
        )
    if is_arn:
        return (model.id,)
    return (f"arn:aws:bedrock:{common.region}::foundation-model/{model.id}",)
