"""The embedded benchmark: icons of installed packages, drawn and cut into data sets."""
