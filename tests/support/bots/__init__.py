"""Bots on the fake Discord: in the test process, or in a process that a test kills."""
