"""Tests of the behaviour model, and what it is trained with."""
