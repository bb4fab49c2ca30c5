"""The configuration of a trial, and the plug-ins that it names. All packages of `core` import it."""
