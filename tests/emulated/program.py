"""The project's program, with functions bundled for this machine: all else is `infra.program`."""

import warnings

import pulumi
from msgspec import structs

from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.bundle import bundles, host_target
from infra.naming import Names
from infra.reading import settings

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of the provider's package about itself, as it is loaded
    from infra.program import declare


def deploy_here() -> None:
    """See `infra.program.deploy`; what is wrong comes out as it is."""
    here = host_target()
    chosen = structs.replace(settings(pulumi.Config("troupe")), runtime=f"python{here.python}")
    plans = list(topology(*(WORKFLOWS[name] for name in chosen.workflows)).values())
    names = Names(project=pulumi.get_project(), stack=pulumi.get_stack())
    declare(chosen, names, plans, dict(bundles(plans, chosen, here).named()))
