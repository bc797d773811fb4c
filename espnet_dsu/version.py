"""The version, where setup.cfg and bundles can read it without imports."""

__version__ = "0.1.0"
