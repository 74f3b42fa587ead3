"""One start of a function, in a process of its own: prints how long the import of its handler took.

    python -I -S start.py <function> <folder on sys.path> …

Only the standard library and the given folders can be imported, as on Lambda.
"""

import json
import sys
import time
from typing import Any

START = time.perf_counter()
FUNCTION = sys.argv[1]
sys.path[:0] = sys.argv[2:]
TEXT = "How do I read a file line by line?"


def main() -> None:
    """Import the handler; where the function makes vectors, make one."""
    if FUNCTION == "peer":
        import retriever_agent  # noqa: PLC0415 - what is timed

        imported = time.perf_counter() - START
        vector = retriever_agent.MODEL.encode(TEXT)
    else:
        from functions.entry_points.aws import agent  # noqa: PLC0415 - what is timed

        imported = time.perf_counter() - START
        vector = _first_vector(agent) if FUNCTION == "retriever" else ()
    said = {"imported": imported * 1000, "processor": time.process_time() * 1000, "dimension": len(vector)}
    print(json.dumps(said), flush=True)


def _first_vector(agent: Any) -> Any:  # noqa: ANN401 - known once it is imported
    encoders = agent.function()._stack.encoders  # noqa: SLF001 - where a search takes it from
    return encoders.encoder(encoders.carried[0].version).encode([TEXT])[0]


if __name__ == "__main__":
    main()
