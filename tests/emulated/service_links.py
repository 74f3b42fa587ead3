"""What services of AWS do for one another, and what has to allow it: the emulator asks nobody.

EventBridge and S3 put into a queue only if its policy says so; API Gateway and Scheduler call a function only if its
permissions or their role say so; Lambda reads a queue, writes a log and takes a role only as the role allows. Each
such link that a stack declares is looked at here with the policies that it declares, and every use is recorded.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from emulated.gate import Gate
from emulated.permissions import Asked, Statement, deciding, of_service, statements
from ministack import ACCOUNT, REGION

EVENTS, LAMBDA, API, S3, SCHEDULER = (
    f"{name}.amazonaws.com" for name in ("events", "lambda", "apigateway", "s3", "scheduler")
)
POLLS: Final = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
LOGS: Final = ("logs:CreateLogStream", "logs:PutLogEvents")
SOURCE: Final = {"aws:SourceAccount": (ACCOUNT,)}


class RefusedError(Exception):
    """AWS would not do this."""


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a service does to a resource on behalf of another one.

    Attributes:
        statement: That of the resource's own policy which allows it; None where none does.
    """

    service: str
    asked: Asked
    statement: str | None


class Links:
    """The links of one stack, as they are declared.

    Args:
        gate: Who holds the roles.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._policies: dict[str, list[Statement]] = {}
        self._trusts: dict[str, list[Statement]] = {}
        self._functions: dict[str, tuple[str, str]] = {}
        self._targets: list[Mapping[str, Any]] = []
        self._redrives: list[tuple[str, str]] = []
        self._allowed_redrives: dict[str, Mapping[str, Any]] = {}
        self._invoked: list[tuple[str, str, str]] = []
        self._scheduled: list[tuple[str, str, str]] = []
        self._told: list[tuple[str, str]] = []

    # What is declared

    def resource_policy(self, resource: str, policy: str) -> None:
        """The policy of a queue or a bucket."""
        self._policies[resource] = statements(policy)
        self._gate.guard(resource, self._policies[resource])

    def trust(self, role: str, policy: str) -> None:
        """Who may take a role."""
        self._trusts[role] = statements(policy)

    def target(self, given: Mapping[str, Any]) -> None:
        """A rule sends to a queue."""
        self._targets.append(given)

    def redrive(self, queue: str, dead: str) -> None:
        """A queue gives up messages to another one."""
        self._redrives.append((queue, dead))

    def redrive_allowed(self, dead: str, policy: Mapping[str, Any]) -> None:
        """Which queues a dead-letter queue takes them from."""
        self._allowed_redrives[dead] = policy

    def invocation_allowed(self, given: Mapping[str, Any]) -> None:
        """A permission of a function: a statement of its policy."""
        name = given["function"]
        function = name if name.startswith("arn:") else f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"
        qualifier = f":{given['qualifier']}" if "qualifier" in given and not name.endswith(given["qualifier"]) else ""
        conditions: dict[str, dict[str, tuple[str, ...]]] = {}
        if "sourceArn" in given:
            conditions["ArnLike"] = {"aws:SourceArn": (given["sourceArn"],)}
        if "sourceAccount" in given:
            conditions["StringEquals"] = {"aws:SourceAccount": (given["sourceAccount"],)}
        statement = Statement(
            sid=given.get("statementId", f"{given['principal']} {given.get('sourceArn', '')}"),
            allows=True,
            actions=(given["action"],),
            resources=(function + qualifier,),
            principals=(f"Service:{given['principal']}",),
            conditions=conditions,
        )
        self._policies.setdefault(function + qualifier, []).append(statement)

    def function(self, name: str, role: str, given: Mapping[str, Any]) -> None:
        """A function writes a log, and with the network's interfaces stands in one, by its role."""
        group = given.get("loggingConfig", {}).get("logGroup") or f"/aws/lambda/{name}"
        self._functions[name] = (role, f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}")

    def polls(self, given: Mapping[str, Any]) -> None:
        """Lambda reads a queue for a function; it looks at the role when the mapping is made.

        Raises:
            RefusedError: The role does not let it.
        """
        name = given["functionName"].split(":")[6] if ":" in given["functionName"] else given["functionName"]
        role, _ = self._functions[name]
        for action in POLLS:
            if not self._gate.record(name, role, Asked(action=action, resource=given["eventSourceArn"])):
                raise RefusedError(f"the role of {name} does not allow {action} on {given['eventSourceArn']}")

    def integration(self, given: Mapping[str, Any]) -> None:
        """API Gateway calls a function."""
        self._invoked.append((API, _function_in(given["integrationUri"]), _execute_api(given["apiId"])))

    def authorizer(self, given: Mapping[str, Any]) -> None:
        """API Gateway asks a function who is there."""
        self._invoked.append((API, _function_in(given["authorizerUri"]), f"{_execute_api(given['apiId'])}/authorizers"))

    def notification(self, given: Mapping[str, Any]) -> None:
        """S3 tells a queue what was put; it looks at the queue's policy when that is set.

        Raises:
            RefusedError: The policy does not let it.
        """
        for each in given["queues"]:
            told = (each["queueArn"], f"arn:aws:s3:::{given['bucket']}")
            self._told.append(told)
            self._must(self._notice(*told))

    def scheduled(self, given: Mapping[str, Any]) -> None:
        """Scheduler takes a role and calls a function with it; it looks at the trust when a schedule is made.

        Raises:
            RefusedError: It may not take the role.
        """
        role = given["target"]["roleArn"].rpartition("/")[2]
        self.assumes(SCHEDULER, role)
        self._scheduled.append((given["name"], role, given["target"]["arn"]))

    def assumes(self, service: str, role: str) -> None:
        """A service takes a role.

        Raises:
            RefusedError: Whom the role trusts is somebody else.
        """
        asked = Asked(action="sts:AssumeRole", resource="*", context=SOURCE if service != LAMBDA else {})
        if deciding(of_service(self._trusts[role], service), asked) is None:
            raise RefusedError(f"{role} cannot be taken by {service}")

    # What follows from it, once all is declared

    def used(self) -> list[Link]:
        """Every link that rests on the policy of a resource."""
        return [*self._deliveries(), *self._calls(), *(self._notice(*each) for each in self._told)]

    def unused(self) -> list[str]:
        """The statements of resources' policies that let somebody in who never comes."""
        needed = {(link.asked.resource, link.statement) for link in self.used()}
        return [
            f"{resource}: {statement.sid}"
            for resource, held in self._policies.items()
            for statement in held
            if statement.allows and (resource, statement.sid) not in needed
        ]

    def broken(self) -> list[str]:
        """What would not arrive on AWS."""
        refused = [f"{link.service} may not {link.asked}" for link in self.used() if link.statement is None]
        return [*refused, *self._silent_functions(), *self._idle_schedules(), *self._redrives_refused()]

    def _deliveries(self) -> Iterator[Link]:
        """Rules put into queues, and what they could not put there into the dead-letter queue."""
        for target in self._targets:
            rule = f"arn:aws:events:{REGION}:{ACCOUNT}:rule/{target['eventBusName']}/{target['rule']}"
            queues = [target["arn"], *([target["deadLetterConfig"]["arn"]] if "deadLetterConfig" in target else [])]
            for queue in queues:
                context = SOURCE | {"aws:SourceArn": (rule,), "aws:SecureTransport": ("true",)}
                yield self._link(EVENTS, Asked(action="sqs:SendMessage", resource=queue, context=context))

    def _calls(self) -> Iterator[Link]:
        for service, function, source in self._invoked:
            yield self._invocation(service, function, f"{source}/*" if service == API else source)

    def _notice(self, queue: str, bucket: str) -> Link:
        context = SOURCE | {"aws:SourceArn": (bucket,), "aws:SecureTransport": ("true",)}
        return self._link(S3, Asked(action="sqs:SendMessage", resource=queue, context=context))

    def _invocation(self, service: str, function: str, source: str) -> Link:
        context = SOURCE | {"aws:SourceArn": (source,)}
        return self._link(service, Asked(action="lambda:InvokeFunction", resource=function, context=context))

    def _link(self, service: str, asked: Asked) -> Link:
        allowed = deciding(of_service(self._policies.get(asked.resource, ()), service), asked)
        return Link(service=service, asked=asked, statement=None if allowed is None else allowed.sid)

    @staticmethod
    def _must(link: Link) -> None:
        if link.statement is None:
            raise RefusedError(f"{link.service} may not {link.asked}")

    def _silent_functions(self) -> Iterator[str]:
        for name, (role, group) in self._functions.items():
            for action in LOGS:
                if not self._gate.record(name, role, Asked(action=action, resource=f"{group}:log-stream:any")):
                    yield f"the role of {name} does not allow {action} on its log group"

    def _idle_schedules(self) -> Iterator[str]:
        for name, role, target in self._scheduled:
            if not self._gate.record(name, role, Asked(action="lambda:InvokeFunction", resource=target)):
                yield f"the role of the schedule {name} does not allow lambda:InvokeFunction on {target}"

    def _redrives_refused(self) -> Iterator[str]:
        for queue, dead in self._redrives:
            policy = self._allowed_redrives.get(dead, {"redrivePermission": "allowAll"})
            if policy["redrivePermission"] == "byQueue" and queue not in policy["sourceQueueArns"]:
                yield f"{dead} takes nothing from {queue}"


def _function_in(uri: str) -> str:
    return uri.split("/functions/")[1].removesuffix("/invocations") if "/functions/" in uri else uri


def _execute_api(api: str) -> str:
    return f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{api}"
