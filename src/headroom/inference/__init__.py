"""Tokenizers and vocabularies that implement the core's protocols."""
