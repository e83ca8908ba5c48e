"""The doctor: looks at everything a role needs before it starts, and says how to mend what is wrong."""
