"""Restricted child processes that handle untrusted bytes.

pool           the parent's side: starts, asks, checks and replaces the children
sandbox_main   the child's side: reads tasks, responds
privileges     what the child gives up before the first task
"""
