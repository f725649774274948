"""Figures: one module per figure, tidy tables in, one matplotlib figure out.

A figure is a public module of this package with one function `draw`. Its positional parameters name
the tables that it needs, its keyword-only parameters are the options that a config may set.
"""
