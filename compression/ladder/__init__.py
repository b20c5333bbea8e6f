"""The rate-accuracy ladder: from what devices hold (v1) and what a publisher has (v2), files that are nearly v2 and cost few bytes to get to.

`task` is what every maker starts from, `rungs` what a maker makes and how it is judged, `trained` makes rungs by training the
difference under a rate penalty, `choice` says which are worth publishing, `report` what is shown of them.
"""
