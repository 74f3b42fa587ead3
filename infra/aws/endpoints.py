"""Which services of AWS functions in the stack's network call by an interface endpoint, each at a price per zone.

DynamoDB and S3 have gateways instead, which cost nothing. Logs are Lambda's own to send, and what is encrypted with a
key of the stack is decrypted by the service that keeps it, so that neither needs one.
"""

from infra.settings import Settings


def interface_endpoints(settings: Settings) -> tuple[str, ...]:
    """The services, as the names of their endpoints end: `events` for `com.amazonaws.eu-central-1.events`."""
    if not (settings.network.vpc and settings.network.endpoints):
        return ()
    model = ("bedrock-runtime",) if settings.model and settings.model.kind == "bedrock" else ()
    secrets = ("secretsmanager",) if settings.secrets or settings.vectors.kind == "self-hosted" else ()
    return ("events", "sqs", *secrets, *model)
