"""Builds what a release consists of: the Debian package, the list of what is in it, and checksums."""
