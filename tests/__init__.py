"""Tests of Tempera."""
