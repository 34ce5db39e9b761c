"""Runs accepted jobs: feeds the inference service and passes results to delivery."""
