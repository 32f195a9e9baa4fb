"""Knows presets and LoRAs; knows no chat and no backend."""
