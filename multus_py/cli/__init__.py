"""The command line for people. Commands are imported when they are called, and only then."""
