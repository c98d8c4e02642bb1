"""Do the tests notice when the code is changed? Small faults, each against the tests of its module."""
