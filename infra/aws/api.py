"""API Gateway in front of functions: an HTTP API, and a WebSocket API for what is pushed.

HTTP APIs know no API keys: an authorizer function turns a key into its tenant. WebSocket APIs know no tokens, so that
where the HTTP API takes those there is no WebSocket.
"""

import json
from typing import Any, Final

import pulumi
import pulumi_aws as aws

from functions.api.routes import ROUTES
from infra.components.api import ApiArgs, SocketAddressArgs
from infra.components.api import SocketAddress as SocketAddressFace
from infra.components.function import Function

STAGE: Final = "live"
TIMEOUT_MS: Final = 30_000  # API Gateway's longest
KEY_CACHED_S: Final = 60
GATEWAY: Final = "apigateway.amazonaws.com"
#: What is logged of a call: neither its headers nor its query.
LOGGED: Final = {
    "request": "$context.requestId",
    "route": "$context.routeKey",
    "status": "$context.status",
    "error": "$context.error.message",
    "ms": "$context.responseLatency",
}


class SocketAddress(pulumi.ComponentResource):
    """See `infra.components.api`."""

    def __init__(self, name: str, args: SocketAddressArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:SocketAddress", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        api = aws.apigatewayv2.Api(
            name,
            name=args.common.names.of("socket"),
            protocol_type="WEBSOCKET",
            route_selection_expression="$request.body.action",  # there is no such action: all goes to $default
            opts=child,
        )
        stage = aws.apigatewayv2.Stage(
            name, api_id=api.id, name=STAGE, auto_deploy=True, default_route_settings=_throttled(args), opts=child
        )
        self.api, self.calls = api.id, api.execution_arn
        self.arn = pulumi.Output.concat(api.execution_arn, "/", stage.name)
        self.public = stage.invoke_url
        # posts go to the same address by HTTPS
        self.url = stage.invoke_url.apply(lambda url: url.replace("wss://", "https://", 1))
        self.register_outputs({"url": self.url, "arn": self.arn})


class Api(pulumi.ComponentResource):
    """See `infra.components.api`."""

    def __init__(self, name: str, args: ApiArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Api", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self.url = self._http(name, args)
        if args.address and args.socket:
            self._socket(f"{name}-socket", args, args.address, args.socket)
        self.register_outputs({"url": self.url})

    def _http(self, name: str, args: ApiArgs) -> pulumi.Output[str]:
        api = aws.apigatewayv2.Api(
            name,
            name=args.common.names.of("api"),
            protocol_type="HTTP",
            cors_configuration=_cors(args.settings.origins) if args.settings.origins else None,
            opts=self._child,
        )
        log = aws.cloudwatch.LogGroup(
            f"{name}-calls",
            name=f"/aws/apigateway/{args.common.names.of('api')}",
            retention_in_days=args.log_retention_days,
            kms_key_id=args.common.key,
            opts=self._child,
        )
        stage = aws.apigatewayv2.Stage(
            name,
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            default_route_settings=_throttled(args),
            access_log_settings={"destination_arn": log.arn, "format": json.dumps(LOGGED)},
            opts=self._child,
        )
        target = self._target(name, api.id, args.api, payload="2.0")
        self._may_call(name, api.execution_arn, args.api)
        authorized = self._authorized(name, api, args)
        self._route(name, api.id, "$default", target, authorized)
        for key in open_routes(args.settings.origins):
            self._route(f"{name}-{key.partition('/')[2].strip('{}+')}", api.id, key, target, {})
        url: pulumi.Output[str] = stage.invoke_url
        return url

    def _authorized(self, name: str, api: aws.apigatewayv2.Api, args: ApiArgs) -> dict[str, Any]:
        """What a route says of who may call it."""
        if args.settings.auth == "iam":
            return {"authorization_type": "AWS_IAM"}
        if args.settings.auth == "jwt":
            authorizer = aws.apigatewayv2.Authorizer(
                name,
                api_id=api.id,
                name="token",
                authorizer_type="JWT",
                identity_sources=["$request.header.Authorization"],
                jwt_configuration={"issuer": args.settings.issuer, "audiences": list(args.settings.audience)},
                opts=self._child,
            )
            return {"authorization_type": "JWT", "authorizer_id": authorizer.id}
        if args.authorizer is None:
            raise ValueError("an API of keys needs the function that knows them: give `authorizer`")
        authorizer = aws.apigatewayv2.Authorizer(
            name,
            api_id=api.id,
            name="key",
            authorizer_type="REQUEST",
            authorizer_uri=args.authorizer.invoke,
            authorizer_payload_format_version="2.0",
            authorizer_result_ttl_in_seconds=KEY_CACHED_S,
            enable_simple_responses=True,
            identity_sources=["$request.header.Authorization"],
            opts=self._child,
        )
        self._may_call(f"{name}-authorizer", api.execution_arn, args.authorizer)
        return {"authorization_type": "CUSTOM", "authorizer_id": authorizer.id}

    def _socket(self, name: str, args: ApiArgs, address: SocketAddressFace, socket: Function) -> None:
        target = self._target(name, address.api, socket)
        self._may_call(name, address.calls, socket)
        for key in ("$connect", "$disconnect", "$default"):
            admitted = self._admitted(name, args.authorizer, address) if key == "$connect" else {}
            self._route(f"{name}-{key.strip('$')}", address.api, key, target, admitted)

    def _admitted(self, name: str, authorizer: Function | None, address: SocketAddressFace) -> dict[str, Any]:
        """What the beginning of a connection says of who may connect; the rest of it is then that caller's."""
        if authorizer is None:
            return {"authorization_type": "AWS_IAM"}
        made = aws.apigatewayv2.Authorizer(
            name,
            api_id=address.api,
            name="key",
            authorizer_type="REQUEST",
            authorizer_uri=authorizer.invoke,
            opts=self._child,
        )
        self._may_call(f"{name}-authorizer", address.calls, authorizer)
        return {"authorization_type": "CUSTOM", "authorizer_id": made.id}

    def _route(
        self, name: str, api: pulumi.Input[str], key: str, target: pulumi.Output[str], admitted: dict[str, Any]
    ) -> None:
        aws.apigatewayv2.Route(
            name,
            api_id=api,
            route_key=key,
            target=target,
            authorization_type=admitted.get("authorization_type", "NONE"),
            authorizer_id=admitted.get("authorizer_id"),
            opts=self._child,
        )

    def _target(
        self, name: str, api: pulumi.Input[str], function: Function, payload: str | None = None
    ) -> pulumi.Output[str]:
        integration = aws.apigatewayv2.Integration(
            name,
            api_id=api,
            integration_type="AWS_PROXY",
            integration_uri=function.invoke,
            payload_format_version=payload,
            timeout_milliseconds=TIMEOUT_MS if payload else None,
            opts=self._child,
        )
        return pulumi.Output.concat("integrations/", integration.id)

    def _may_call(self, name: str, calls: pulumi.Input[str], function: Function) -> None:
        aws.lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=function.name,
            qualifier=function.qualifier,
            principal=GATEWAY,
            source_arn=pulumi.Output.concat(calls, "/*"),
            opts=self._child,
        )


def open_routes(origins: tuple[str, ...]) -> list[str]:
    """What needs no key: what the API itself leaves open, and the question of a page whether it may call."""
    return [f"{route.method} {route.path}" for route in ROUTES if route.open] + ["OPTIONS /{proxy+}"] * bool(origins)


def _throttled(args: ApiArgs | SocketAddressArgs) -> aws.apigatewayv2.StageDefaultRouteSettingsArgs:
    return aws.apigatewayv2.StageDefaultRouteSettingsArgs(
        throttling_rate_limit=args.settings.requests_per_second, throttling_burst_limit=args.settings.burst
    )


def _cors(origins: tuple[str, ...]) -> aws.apigatewayv2.ApiCorsConfigurationArgs:
    return aws.apigatewayv2.ApiCorsConfigurationArgs(
        allow_origins=list(origins),
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["authorization", "content-type", "idempotency-key", "last-event-id", "x-request-id"],
        expose_headers=["location", "retry-after", "x-request-id"],
        max_age=3600,
    )
