"""Anthropic Messages: where its spans are, how its stream reads."""
