"""Metrics, health endpoints, and messages to the service manager."""
