"""The server: what gathers, forwards and streams; no decision is made here."""
