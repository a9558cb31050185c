"""The only place where objects are made and wired: one module a role, each an async context manager made from settings.

Nothing is kept in modules: two applications run side by side in one process.
"""
