"""The project's program, with functions bundled for this machine: all else is `infra.program`."""

import pulumi

from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.bundle import bundles, host_target
from infra.naming import Names
from infra.program import declare
from infra.settings import settings


def deploy_here() -> None:
    """See `infra.program.deploy`; what is wrong comes out as it is."""
    chosen = settings(pulumi.Config("troupe"))
    plans = list(topology(*(WORKFLOWS[name] for name in chosen.workflows)).values())
    names = Names(project=pulumi.get_project(), stack=pulumi.get_stack())
    declare(chosen, names, plans, dict(bundles(plans, chosen, host_target()).named()))
