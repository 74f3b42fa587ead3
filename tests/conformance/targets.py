"""The targets that the suite knows, and those that it cannot run here."""

from local_target import LocalTarget

#: By name, in the order of the page.
TARGETS = {"local": LocalTarget}
#: Why no test runs on them.
ABSENT = dict.fromkeys(("aws", "gcp", "azure"), "no adapters")
