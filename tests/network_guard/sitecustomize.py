"""Imported by Python as it starts, where this folder is on PYTHONPATH."""

import importlib

importlib.import_module("loopback_only")
