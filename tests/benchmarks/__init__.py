"""How fast idsweep is beside other tools, measured side by side: `make bench`."""
