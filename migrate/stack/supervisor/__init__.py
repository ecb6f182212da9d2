"""A small parent process: it starts, stops and outlives the commands that ask it to, and knows every exit code.

A parent was chosen over pid files because only a parent learns how a child ended; it does not restart a
crashed child, because on a developer's machine a silent restart hides the fault: `migrate status` names the
crash and `migrate up` repairs it.
"""
