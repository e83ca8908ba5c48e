"""Cryptography: encrypted messages and fields, signatures, and erasure by destroying keys."""
