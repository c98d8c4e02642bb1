"""Mutation testing: small faults are put into the code, and the tests of each module must find them."""
