"""The tagger's job in other frameworks; each program runs in an environment of its own.

All of them call the same function as the tagger, and write to a topic of their own.
"""
