"""The machine that work runs on: devices, compiled code, progress."""
