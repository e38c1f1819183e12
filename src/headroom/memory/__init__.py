"""Facts kept across conversations, each user's in a file of its own."""
