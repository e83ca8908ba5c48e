"""For trying Termijn out: sample events over all processes, and systems that hold data and obey."""
