"""This folder holds a conftest, so that `agent_fakes.py` beside it is importable."""
