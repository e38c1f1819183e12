"""What was sent and what it stood for: ledger, stores, retrieval."""
