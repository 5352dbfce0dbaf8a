"""Stress: damaged inputs in great number, each of which must be served or refused in words."""
