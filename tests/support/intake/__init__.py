"""Support for the tests of the intake."""
