"""The tagger's job in other frameworks; each program runs in an environment of its own.

All of them call the one function that the tagger calls, and write to a topic of their own.
"""
