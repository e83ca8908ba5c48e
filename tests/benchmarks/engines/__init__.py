"""The tagger's job in other frameworks; each program runs in an environment of its own.

Each does it twice: by the tagger's own function, and plainly. It writes to a topic of its own.
"""
