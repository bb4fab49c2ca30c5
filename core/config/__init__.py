"""The configuration of a trial, and the plug-ins that it names. It imports no other package."""
