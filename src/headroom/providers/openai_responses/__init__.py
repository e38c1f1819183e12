"""OpenAI Responses: where its spans are, how its stream reads."""
