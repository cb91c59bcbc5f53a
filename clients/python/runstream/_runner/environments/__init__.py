"""Python environments of jobs: made once for each specification, and shared by all runs of this machine.

<cache>/environments/<key>/            a virtual or conda environment
<cache>/environments/<key>.json        that it is complete, and what it is of; renewed whenever it is used
<cache>/environments/<key>.lock        held alone by who makes or removes it, shared by who uses it
"""
