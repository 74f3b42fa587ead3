"""The HTTP API on one machine: uvicorn and Starlette around `functions.api`."""
