"""OpenAI Chat Completions: where its spans are, how its stream reads."""
