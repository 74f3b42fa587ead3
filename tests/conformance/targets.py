"""The targets that the suite knows, and those that it cannot run here."""

from cloudlike_target import CloudlikeTarget
from local_target import LocalTarget

#: By name, in the order of the page.
TARGETS = {"local": LocalTarget, "memory": CloudlikeTarget}
#: Why no test runs on them.
ABSENT = dict.fromkeys(("aws", "gcp", "azure"), "no adapters")
