"""Providers that do a thing in a way of their own, as data with its source."""
