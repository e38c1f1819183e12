"""Measurements of time and ratio: one file per question, run by ``make bench``."""
