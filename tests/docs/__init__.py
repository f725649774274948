"""Tests of what the documentation says: that its commands run, and that its pages are whole."""
