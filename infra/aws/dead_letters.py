"""The sweeper on its schedule: event source mappings on all the nets would poll them day and night."""

import pulumi

from infra.aws.schedule import Schedule
from infra.aws.service_function import ServiceFunction
from infra.components.dead_letters import DeadLettersArgs
from infra.components.schedule import ScheduleArgs


class DeadLetters(pulumi.ComponentResource):
    """See `infra.components.dead_letters`."""

    def __init__(self, name: str, args: DeadLettersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:DeadLetters", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        called = args.sweeper.function
        self.sweeper = ServiceFunction(called, args.sweeper, opts=child)
        Schedule(
            f"{called}-schedule",
            ScheduleArgs(
                common=args.sweeper.common,
                called=called,
                function=self.sweeper,
                every=args.every,
            ),
            opts=child,
        )
        self.register_outputs({"sweeper": self.sweeper.name})
