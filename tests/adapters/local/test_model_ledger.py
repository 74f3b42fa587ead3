"""What a request spent, and what its agents write, in the store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from harness import Harness
from sample_workflows import SINGLE, Begun

from functions.adapters.local.growing import LocalGrowing
from functions.adapters.local.spending import LocalSpending
from functions.ports.requests import TokensView
from functions.ports.spending import Spent

Opens = Callable[..., Harness]
