"""Tidy tables of a whole sweep, made from the estimates and from what users bring."""
