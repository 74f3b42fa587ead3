"""The local target: everything embedded, in one SQLite file and one vector folder."""
