"""Collections of passages over vector stores, encoders and the catalog: what agents search and fill by text."""
