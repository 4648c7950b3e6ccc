"""The embedded benchmark: named icons of installed packages, drawn to ink maps and cut into data sets."""
