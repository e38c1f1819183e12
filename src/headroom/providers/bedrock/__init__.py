"""Amazon Bedrock: Messages bodies under ``invoke``, and the Converse API."""
