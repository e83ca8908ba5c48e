"""The watch: what is out at each system right now, how fast it answers, and what it refuses.

Pure, but for the files that `credentials` reads.
"""
