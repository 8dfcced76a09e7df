"""Operators: each collects its arguments, calls what does the work, and reports."""
