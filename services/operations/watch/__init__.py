"""The watch: each system's outstanding commands, response times and refusals, live from Kafka.

It does no input or output, except for the files that `credentials` reads.
"""
