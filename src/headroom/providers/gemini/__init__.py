"""Gemini's generateContent: where its spans are, how its streams read."""
