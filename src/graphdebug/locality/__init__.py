"""Locality: how far a report stands from the line the fault is on, measured on faulty programs of our own."""
